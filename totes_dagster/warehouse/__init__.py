"""The third stage: loads batches of the processed zone into the warehouse, each in one transaction, which small ones share."""
