"""What is wrong with images as such."""
