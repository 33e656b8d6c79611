"""The embedded stack: a PostgreSQL server with a simulated company, and folders for the lake."""
