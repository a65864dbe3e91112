"""When: arrivals of samples and predictions, reviews, failures."""
