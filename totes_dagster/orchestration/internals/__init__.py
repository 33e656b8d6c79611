"""Code that relies on private parts of Dagster 1.13. Check it before `pyproject.toml` allows a newer version."""
