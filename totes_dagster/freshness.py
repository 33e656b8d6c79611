"""How old the warehouse may be: the one freshness policy, which all of its assets share."""

from datetime import timedelta

from dagster import FreshnessPolicy

WARN_AFTER = timedelta(minutes=15)
FAIL_AFTER = timedelta(minutes=30)

FRESHNESS = FreshnessPolicy.time_window(fail_window=FAIL_AFTER, warn_window=WARN_AFTER)
"""Every refresh materialises all assets of the warehouse, also one that finds nothing to do."""
