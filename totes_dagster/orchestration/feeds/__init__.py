"""The feeds in Dagster: for each its assets, checks, job and sensor, apart from those of totesys."""
