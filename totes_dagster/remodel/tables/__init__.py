"""The star tables computed from source tables: pure functions over frames, without I/O."""
