"""The embedded stack: a PostgreSQL server, a simulated company, folders for the lake."""
