"""What was ever seen: fingerprints of all contents of all datasets of a home, and of files that others publish."""
