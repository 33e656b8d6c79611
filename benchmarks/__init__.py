"""Measurements of speed and size, which no test asks for: `make benchmark`, and `growth.py` by hand.

Every figure is measured beside what it is compared with, in one run on one machine. Trust the ratios.
"""
