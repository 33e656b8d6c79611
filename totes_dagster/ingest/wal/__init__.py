"""Capturing changes from the source's write-ahead log: every committed version of a row, at the cost of what changed.

An opt-in beside the census (see `ingest/census.py`), which is taken at the start, by reconciliations, and whenever the
log cannot be relied on.
"""
