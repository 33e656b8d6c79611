"""The third stage: loads batches of the processed zone into the warehouse; small ones share a transaction."""
