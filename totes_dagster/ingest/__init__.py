"""The first stage: one snapshot of the source becomes the next batch of the ingestion zone."""
