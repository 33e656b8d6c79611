"""A platform that has been at work for months: a refresh asks for no more than on the first day, or nearly so."""

import gc
from collections import Counter
from collections.abc import Callable
from math import log2
from typing import Any

import psycopg
import pytest

from totes_dagster.lake.batch_log import REMEMBERED, BatchLog, manifest_path
from totes_dagster.lake.manifest import Manifest
from totes_dagster.lake.zone import Zone
from totes_dagster_tests.world import World

pytestmark = pytest.mark.slow

BATCHES = 10_000
EDIT = "update sales_order set units_sold = units_sold + 1 where sales_order_id <= 10"
READING = ("exists", "paths", "read", "read_part")


def asked_by_a_refresh(company: World, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each thing is asked of the lake while ten rows that changed are refreshed."""
    asked: Counter[str] = Counter()

    def counted(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def ask(*arguments: Any, **options: Any) -> Any:
            asked[name] += 1
            return method(*arguments, **options)

        return ask

    company.change(EDIT)
    with monkeypatch.context() as counting:
        for name in READING:
            counting.setattr(Zone, name, counted(name, getattr(Zone, name)))
        company.refresh()
    return asked


def pretend(company: World, batches: int) -> None:
    """Add batches that brought nothing, as if there had been so many, to the lake and to the warehouse."""
    zone = company.platform.lake.ingestion
    newest = BatchLog(zone).manifest(company.head())
    for batch in range(newest.batch + 1, batches + 1):
        assert zone.create(manifest_path(batch), newest.model_copy(update={"batch": batch}).to_json())
    with psycopg.connect(company.warehouse_url) as connection:
        connection.execute(
            "insert into load_history (batch, snapshot_at, manifest_sha256, tables) "
            "select number, now(), %s, '{}' from generate_series(%s::bigint, %s) as number",
            [BatchLog(zone).digest(batches), newest.batch + 1, batches],
        )


def test_a_refresh_asks_for_little_more_after_many_batches(company: World, monkeypatch: pytest.MonkeyPatch) -> None:
    few = asked_by_a_refresh(company, monkeypatch)
    pretend(company, BATCHES)
    many = asked_by_a_refresh(company, monkeypatch)
    assert company.head() == BATCHES + 1
    assert company.wrongs() == []
    assert many["paths"] == few["paths"] == 0  # a listing would page through all of them
    assert many["read"] <= few["read"] + 2
    assert many["read_part"] == few["read_part"]
    # The head is looked for by halves, once for each thing that needs it.
    looks = 2 * log2(BATCHES)
    heads = 15
    assert many["exists"] <= few["exists"] + heads * looks


def test_manifests_that_were_read_are_not_kept_for_ever(company: World) -> None:
    pretend(company, 1_000)
    log = BatchLog(company.platform.lake.ingestion)
    for batch in range(1, 1_001):
        log.manifest(batch)
    gc.collect()
    assert sum(isinstance(each, Manifest) for each in gc.get_objects()) <= REMEMBERED + 10
