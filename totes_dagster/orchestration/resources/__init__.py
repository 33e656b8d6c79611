"""Dagster resources: the two databases, and where alerts go."""
