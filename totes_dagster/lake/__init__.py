"""The data lake: its two zones, its immutable objects, and the log of batches."""
