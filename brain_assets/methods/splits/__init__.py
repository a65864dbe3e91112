"""Pure methods that say which split a sample is to be in."""
