"""Code that relies on private parts of Dagster. Each module names the version that it was tried with.

`docs/decisions/` has a record of every private name, and `test_private_parts.py` fails on a Dagster that lacks one. Run
it before `pyproject.toml` allows a newer version.
"""
