"""Several refreshes at once: each ends cleanly, and nothing is lost or doubled by it."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from totes_dagster.lake.batch_log import BatchLog
from totes_dagster.lake.manifest import Manifest
from totes_dagster.pipeline import ingest, refresh
from totes_dagster_tests.world import World, start_totes

pytestmark = pytest.mark.slow

EDIT = "update sales_order set units_sold = units_sold + 1 where sales_order_id = {}"


def batches(world: World) -> list[int]:
    """The numbers of all batches: of the manifests in the lake, after seeing that the warehouse has the same."""
    committed = [int(path[-15:-5]) for path in world.platform.lake.ingestion.paths("batches")]
    loaded = [batch for (batch,) in world.ask("select batch from load_history order by batch")]
    assert committed == loaded
    return committed


def test_of_two_ingests_that_captured_the_same_only_one_commits_it(
    company: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, both = BatchLog.commit, threading.Barrier(2, timeout=20)

    def commit_together(log: BatchLog, manifest: Manifest) -> bool:
        both.wait()
        return commit(log, manifest)

    monkeypatch.setattr(BatchLog, "commit", commit_together)
    company.change(EDIT.format(7))
    platform = company.platform
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(ingest, platform.source, platform.lake.ingestion) for _ in range(2)]
        results = [run.result(timeout=30) for run in runs]
    assert sorted(result.batch.batch if result.batch else 0 for result in results) == [0, 2]

    company.refresh()
    assert company.wrongs(strict=True) == []
    assert company.versions("fact_sales_order", 7) == ["live", "live"]
    assert batches(company) == [1, 2]


@pytest.mark.parametrize("winner", ["the older snapshot", "the newer snapshot"])
def test_an_ingest_that_loses_its_number_captures_anew(
    company: World, monkeypatch: pytest.MonkeyPatch, winner: str
) -> None:
    """A change, a first ingest captures, another change, a second ingest captures; then one of them commits first."""
    platform = company.platform
    commit = BatchLog.commit
    captured, overtaken = threading.Event(), threading.Event()
    first = threading.local()

    def commit_later(log: BatchLog, manifest: Manifest) -> bool:
        if getattr(first, "waits", False):
            first.waits = False
            captured.set()
            assert overtaken.wait(20)
        elif winner == "the older snapshot" and not overtaken.is_set():
            overtaken.set()
            assert not older.exception(timeout=20)
        return commit(log, manifest)

    def older_ingest() -> Manifest | None:
        first.waits = True
        return ingest(platform.source, platform.lake.ingestion).batch

    monkeypatch.setattr(BatchLog, "commit", commit_later)
    with ThreadPoolExecutor(1) as pool:
        company.change(EDIT.format(7), "delete from sales_order where sales_order_id = 9")
        older = pool.submit(older_ingest)
        assert captured.wait(20)
        company.change(EDIT.format(8), "delete from sales_order where sales_order_id = 10")
        newer = ingest(platform.source, platform.lake.ingestion).batch
        overtaken.set()
        result = older.result(timeout=20)

    if winner == "the older snapshot":
        assert [manifest and manifest.batch for manifest in (result, newer)] == [2, 3]
    else:
        assert [manifest and manifest.batch for manifest in (result, newer)] == [None, 2]
    company.refresh()
    assert company.wrongs() == []
    for key in (7, 8):
        assert company.versions("fact_sales_order", key) == ["live", "live"]
    for key in (9, 10):
        assert company.versions("fact_sales_order", key) == ["live", "deleted"]
    assert batches(company) == list(range(1, company.head() + 1))


def test_a_batch_that_somebody_commits_in_the_midst_of_a_refresh_does_not_break_it(company: World) -> None:
    platform = company.platform
    overtaken = threading.Event()

    def overtake(stage: str, table: str, rows: int) -> None:
        if (stage, table) == ("remodel", "fact_payment") and not overtaken.is_set():
            overtaken.set()
            company.change(EDIT.format(8))
            assert ingest(platform.source, platform.lake.ingestion).batch is not None

    company.change(EDIT.format(7), "update payment set paid = not paid")
    refresh(platform, progress=overtake)
    assert overtaken.is_set()
    company.refresh()
    assert company.wrongs(strict=True) == []
    assert batches(company) == [1, 2, 3]


def test_refreshes_that_race_while_the_company_works_lose_and_double_nothing(company: World) -> None:
    rounds, racers = 8, 3
    with ThreadPoolExecutor(racers) as pool:
        for key in range(1, rounds + 1):
            together = threading.Barrier(racers + 1, timeout=20)

            def race(start: threading.Barrier = together) -> None:
                start.wait()
                company.refresh()

            runs = [pool.submit(race) for _ in range(racers)]
            together.wait()
            company.change(EDIT.format(key))
            for run in runs:
                run.result(timeout=60)
    company.refresh()
    assert company.wrongs(strict=True) == []
    for key in range(1, rounds + 1):
        assert company.versions("fact_sales_order", key) == ["live", "live"]
    assert batches(company) == list(range(1, company.head() + 1))


def test_three_processes_that_found_the_platform_together_end_cleanly(unseen_company: World) -> None:
    processes = [start_totes(unseen_company.platform, "refresh") for _ in range(3)]
    errors = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], errors
    assert unseen_company.wrongs(strict=True) == []
    assert batches(unseen_company) == [1]
