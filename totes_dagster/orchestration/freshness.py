"""How old the warehouse may be: the policy of its assets, by which Dagster shows them and the alerts judge them."""

from datetime import timedelta

from dagster import FreshnessPolicy

WARN_AFTER = timedelta(minutes=15)
"""The pace of the schedule: later than that, one refresh at least did not come about."""

FAIL_AFTER = timedelta(minutes=30)
"""How long a change may take to the warehouse, at the very worst."""

FRESHNESS = FreshnessPolicy.time_window(fail_window=FAIL_AFTER, warn_window=WARN_AFTER)
"""Every refresh materialises all assets of the warehouse, also one that finds nothing to do."""
