"""What is known of a dataset beyond its data: one module per signal."""
