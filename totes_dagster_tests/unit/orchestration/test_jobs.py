"""When a run that has not ended counts as dead."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from totes_dagster.lake.batch_log import BatchLog
from totes_dagster.lake.zone import Zone
from totes_dagster.orchestration.io_managers.ingestion import IngestionIOManager
from totes_dagster.orchestration.jobs import PATIENCE, allowance, seems_dead
from totes_dagster_tests.unit.manifests import MANIFEST

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(("ago", "dead"), [(PATIENCE - timedelta(seconds=1), False), (PATIENCE, True)])
def test_a_run_that_started_counts_for_an_hour(ago: timedelta, *, dead: bool) -> None:
    assert seems_dead((NOW - ago).timestamp(), NOW - 30 * HOUR, NOW) is dead


@pytest.mark.parametrize(("ago", "dead"), [(-14, False), (0, False), (14, False), (15, True)])
def test_a_run_that_has_not_started_counts_in_any_time_zone(ago: int, *, dead: bool) -> None:
    assert seems_dead(None, NOW - ago * HOUR, NOW) is dead


def test_a_run_that_is_allowed_more_counts_for_longer() -> None:
    assert not seems_dead((NOW - 5 * HOUR).timestamp(), NOW - 5 * HOUR, NOW, 6 * HOUR)
    assert seems_dead((NOW - 6 * HOUR).timestamp(), NOW - 6 * HOUR, NOW, 6 * HOUR)


@pytest.mark.parametrize(("rows", "seconds"), [(2, None), (36_000_000, None), (40_000_000, 4_000), (10**9, 100_000)])
def test_a_run_is_allowed_an_hour_and_more_for_a_source_of_many_rows(
    rows: int, seconds: int | None, tmp_path: Path
) -> None:
    tmp_path.chmod(0o700)
    zone = Zone(tmp_path.as_uri())
    (table, entry), *_ = MANIFEST.tables.items()
    census = entry.census.model_copy(update={"rows": rows})
    tables = {table: entry.model_copy(update={"census": census})}
    assert BatchLog(zone).commit(MANIFEST.model_copy(update={"tables": tables}))
    tags = {} if seconds is None else {"dagster/max_runtime": str(seconds)}
    assert allowance(IngestionIOManager(url=zone.url)) == tags


def test_nobody_has_counted_a_source_without_a_batch() -> None:
    assert allowance(IngestionIOManager(url="file:///there/is/none")) == {"dagster/max_runtime": "86400"}
    assert allowance(IngestionIOManager(url="s3:/no bucket")) == {}
    assert allowance(IngestionIOManager()) == {}
