"""The second stage: batches of the ingestion zone become star-schema parts of the processed zone."""
