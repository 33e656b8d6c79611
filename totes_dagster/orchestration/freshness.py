"""How old the warehouse may be: the freshness policy of its assets, which Dagster shows and alerts apply."""

from datetime import timedelta

from dagster import FreshnessPolicy

WARN_AFTER = timedelta(minutes=15)
"""The interval of the schedule: after it, at least one refresh is missing."""

FAIL_AFTER = timedelta(minutes=30)
"""The longest that a change may take to reach the warehouse."""

FRESHNESS = FreshnessPolicy.time_window(fail_window=FAIL_AFTER, warn_window=WARN_AFTER)
"""Every refresh materialises all assets of the warehouse, even if nothing has changed."""
