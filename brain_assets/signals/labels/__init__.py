"""What models and neighbours say of labels."""
