"""Feeds: files that somebody drops into the landing zone, and what becomes of them.

A feed is declared in `declared.py`. Its files are found and read (`landing.py`, `reading.py`), checked row by row
(`contracts.py`), committed as a batch (`take.py`), and remodelled (`remodel.py`). Exchange rates, which nobody drops,
are fetched first (`rates.py`).
"""
