"""Work that goes out to label tools, and what people did there, taken back as decisions."""
