"""Pure methods that measure pictures."""
