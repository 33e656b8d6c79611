"""Reconciling the warehouse with the source: comparing the two, and repairing what differs."""
