"""The 44 assets, in the order in which data flows through them."""
