"""What all signals together say: issues, health, gates, the published tables."""
