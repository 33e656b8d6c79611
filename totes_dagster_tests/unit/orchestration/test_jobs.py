"""When a run that has not ended counts as dead."""

from datetime import UTC, datetime, timedelta

import pytest

from totes_dagster.orchestration.jobs import PATIENCE, seems_dead

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(("ago", "dead"), [(PATIENCE - timedelta(seconds=1), False), (PATIENCE, True)])
def test_a_run_that_started_counts_for_an_hour(ago: timedelta, *, dead: bool) -> None:
    assert seems_dead((NOW - ago).timestamp(), NOW - 30 * HOUR, NOW) is dead


@pytest.mark.parametrize(("ago", "dead"), [(-14, False), (0, False), (14, False), (15, True)])
def test_a_run_that_has_not_started_counts_in_any_time_zone(ago: int, *, dead: bool) -> None:
    assert seems_dead(None, NOW - ago * HOUR, NOW) is dead
