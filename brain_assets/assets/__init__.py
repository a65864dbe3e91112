"""Signals as Dagster assets: the catalog, their lineage, what each shows."""
