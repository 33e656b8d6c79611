"""The comparison of the warehouse with the source, on whole platforms."""
