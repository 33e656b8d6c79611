"""How old the warehouse may be: the policy of its assets, by which Dagster shows them and the alerts judge them."""

from datetime import timedelta

from dagster import FreshnessPolicy

REFRESH_WARN = timedelta(minutes=15)
"""The pace of the schedule: later than that, one refresh at least did not come about."""

REFRESH_FAIL = timedelta(minutes=30)
"""How long a change may take to the warehouse, at the very worst."""

FRESHNESS = FreshnessPolicy.time_window(fail_window=REFRESH_FAIL, warn_window=REFRESH_WARN)
