"""Roles that do their work and nothing else, secrets that never show, and values that are never taken for SQL."""
