"""The third stage: batches of the processed zone are loaded into the warehouse, each in one transaction."""
