"""What the command line prints: a refresh in a single line, and the state of the stages."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from totes_dagster.cli.output import show_status, summary
from totes_dagster.ingest.run import Ingested
from totes_dagster.pipeline import Refreshed
from totes_dagster.status import PlatformStatus
from totes_dagster.warehouse.loaded import LoadedBatch, LoadedTable
from totes_dagster.warehouse.migrations import HEAD
from totes_dagster.warehouse.queries import NewestLoad


def refreshed(*batches: LoadedBatch) -> Refreshed:
    return Refreshed(Ingested((), []), {}, list(batches))


@pytest.mark.parametrize(
    ("what", "line"),
    [
        (refreshed(), "Nothing changed."),
        (
            refreshed(LoadedBatch(7, {"dim_staff": LoadedTable(staged=5), "fact_payment": LoadedTable()})),
            "Loaded batch 7: nothing that the warehouse did not show already.",
        ),
        (
            refreshed(
                LoadedBatch(7, {"dim_staff": LoadedTable(staged=2000, new=1200, changed=1)}),
                LoadedBatch(8, {"dim_staff": LoadedTable(new=34), "fact_payment": LoadedTable(deleted=2)}),
                LoadedBatch(9, {"dim_design": LoadedTable(placeholders=3)}),
            ),
            "Loaded batches 7 to 9: 1,234 new, 1 changed, 2 deleted, 3 placeholders.",
        ),
    ],
    ids=["nothing", "no difference", "several batches"],
)
def test_a_refresh_is_told_in_one_line(what: Refreshed, line: str) -> None:
    assert summary(what) == line


def test_a_warehouse_that_a_migration_is_pending_for_is_not_called_empty(capsys: pytest.CaptureFixture[str]) -> None:
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    show_status(PlatformStatus([], 4, moment, {}, "0001", NewestLoad(4, moment), None))
    printed = capsys.readouterr().out
    assert "migrate from revision 0001" in printed
    assert f"The warehouse is at revision 0001; the next refresh migrates it to {HEAD}." in printed
    assert "empty" not in printed


def test_how_much_of_its_log_the_source_keeps_is_said_where_it_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    status = PlatformStatus([], 4, moment, {}, HEAD, NewestLoad(4, moment), None)
    show_status(status)
    assert "log" not in capsys.readouterr().out
    show_status(replace(status, kept_log_bytes=3 * 2**20))
    assert "The source keeps 3.0 MB of its log for the platform." in capsys.readouterr().out
