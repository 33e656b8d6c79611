"""Comparing the warehouse with the source: by checksums of key ranges, and row by row where they differ."""
