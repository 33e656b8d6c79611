"""Reading whole tables of the lake and of the warehouse as streams, for whoever builds on them.

The stages do not use this: they work part by part, batch by batch.
"""
