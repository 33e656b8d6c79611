"""Metrics of the warehouse: each is declared once, with its meaning, its unit, and what it may be split by.

The views that they are computed from are declared in `totes_dagster/schema/views.py`. `asking.py` answers questions.
"""
