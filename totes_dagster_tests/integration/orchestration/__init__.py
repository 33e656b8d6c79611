"""How old runs are removed from what Dagster keeps, on SQLite and on PostgreSQL."""
