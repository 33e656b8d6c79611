"""The tables of the source and of the warehouse, declared once."""
