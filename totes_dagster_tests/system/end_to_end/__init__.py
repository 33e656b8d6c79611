"""Claims about the whole platform, on a real PostgreSQL server and a real object store."""
