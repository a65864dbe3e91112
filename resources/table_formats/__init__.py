"""Published tables in the formats of others' data stacks, each a member of one door: Delta Lake, Iceberg, Lance."""
