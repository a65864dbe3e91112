"""Pure methods that find and group copies."""
