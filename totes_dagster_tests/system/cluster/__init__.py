"""Workers that take a share of large batches: real processes of Dask, over TLS, that are killed, frozen and cut off."""
