"""Capturing changes from the source's write-ahead log: every committed version of a row, at the cost of what changed.

An opt-in beside the census (see `ingest/census.py`), which stays the start, the judge, and what is done whenever the
log cannot be relied on.
"""
