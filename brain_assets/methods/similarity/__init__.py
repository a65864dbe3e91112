"""Pure methods over vectors and neighbours."""
