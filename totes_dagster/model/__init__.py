"""The star schemas computed from source tables: pure functions over frames, no Dagster, no I/O."""
