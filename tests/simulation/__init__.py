"""A service in one thread: sensors, runs, readers, reviewers and the world take turns, and anything fails, as a seed has it."""
