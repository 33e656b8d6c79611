"""The settings, and the databases and lake zones that they name; what is done with those belongs elsewhere."""
