"""Measuring how long a change takes from its commit in the source until the warehouse shows it."""
