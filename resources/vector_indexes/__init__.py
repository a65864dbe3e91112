"""Vector indexes outside of the store, each a member of one door: files, or the servers that people run already."""
