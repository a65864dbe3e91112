"""What is known of a dataset: one module per word of the domain, thin assets over pure methods."""
