"""Feeds: files from outside the company that the platform takes from a landing zone."""
