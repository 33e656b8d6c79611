"""The first stage: what changed in the source, as of one snapshot, becomes the next batch of the ingestion zone."""
