"""The three stages, ingest, remodel and load, as Dagster and the command line both run them."""
