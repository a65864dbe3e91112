"""What comes in: samples, media, labels, predictions, decisions."""
