"""All assets, in the order in which data flows through them."""
