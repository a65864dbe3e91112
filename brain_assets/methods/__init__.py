"""Pure numerics: arrays in, arrays out. Nothing here knows Dagster, DuckDB, files or the network."""
