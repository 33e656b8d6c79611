"""The settings, and the databases and lake zones that they name."""
