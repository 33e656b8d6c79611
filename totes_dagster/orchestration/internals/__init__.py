"""What relies on private parts of Dagster. Each module names the version that it was tried with."""
