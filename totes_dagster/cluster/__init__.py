"""Sharing the work on a large batch with other machines: Dask's scheduler and workers, used as a pool of processes.

The cluster makes large batches faster, and nothing depends on it. What it does not do, the process that asked does.
"""
