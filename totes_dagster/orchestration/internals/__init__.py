"""Code that relies on private parts of Dagster. Each module names the version that it was tried with.

Check them before `pyproject.toml` allows a newer version; `docs/decisions/` has a record of every private name.
"""
