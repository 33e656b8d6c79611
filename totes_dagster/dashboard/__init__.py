"""The dashboard: pages of charts over the warehouse, served to a browser or exported. Needs the extra `dashboard`."""
