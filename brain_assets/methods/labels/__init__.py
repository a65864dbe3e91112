"""Pure methods that judge labels."""
