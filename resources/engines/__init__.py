"""Who carries the heavy work of a run: threads of its own process, or workers elsewhere."""
