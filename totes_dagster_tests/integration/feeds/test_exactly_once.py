"""Files of the landing zone: each is taken and loaded exactly once, and what it says now is what holds."""

import gzip
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from threading import Barrier

import pytest

from totes_dagster.errors import (
    BatchConflictError,
    LakeError,
)
from totes_dagster.feed_pipeline import load_feed, refresh_feed
from totes_dagster.feeds.declared import EXCHANGE_RATE, SALES_TARGET, SHIPMENT
from totes_dagster.feeds.landing import LandingZone
from totes_dagster.feeds.take import take_files
from totes_dagster.lake.batch_log import FeedLog
from totes_dagster.lake.feed_manifest import FeedManifest
from totes_dagster_tests.feeding import Feeding, feeding_from, rates, shipments, targets
from totes_dagster_tests.object_store import bucket, object_store
from totes_dagster_tests.s3_front import Answer, PassOn, Request, in_front_of, refusal
from totes_dagster_tests.system.platforms import reopened

__all__ = ["bucket", "object_store"]

DAY = date(2026, 11, 26)


def units(feeding: Feeding) -> dict[int, int]:
    """The units that were delivered, by order."""
    return {order: number for order, _, _, number in feeding.current(SHIPMENT)}


def test_a_file_is_loaded_exactly_once(either: Feeding) -> None:
    either.drop(SHIPMENT, "a.ndjson", shipments((1, 5), (2, 6)))
    done = either.refresh(SHIPMENT)
    assert [(batch.batch, [file.path for file in batch.files]) for batch in done.taken] == [(1, ["a.ndjson"])]
    assert [loaded.counts() for loaded in done.loaded] == [
        {"files": 1, "refused": 0, "quarantined": 0, "staged": 2, "new": 2, "changed": 0, "outdated": 0, "unchanged": 0}
    ]
    moment = datetime(2026, 11, 26, 10, tzinfo=UTC).replace(tzinfo=None)
    assert either.versions(SHIPMENT) == [(1, moment, DAY, 5, 1), (2, moment, DAY, 6, 1)]
    again = either.refresh(SHIPMENT)
    assert (again.taken, again.loaded) == ([], [])


def test_a_file_that_is_replaced_brings_what_differs(either: Feeding) -> None:
    either.drop(SHIPMENT, "a", shipments((1, 5), (2, 6)))
    either.refresh(SHIPMENT)
    either.drop(SHIPMENT, "a", shipments((2, 7), (1, 5), (3, 8)))
    (loaded,) = either.refresh(SHIPMENT).loaded
    assert (loaded.new, loaded.changed) == (1, 1)
    assert units(either) == {1: 5, 2: 7, 3: 8}
    assert either.files(SHIPMENT) == {"a": (3, None, None)}


def test_a_file_that_is_restored_brings_back_what_it_said(either: Feeding) -> None:
    for number in (5, 6, 5):
        either.drop(SHIPMENT, "a", shipments((1, number)))
        either.refresh(SHIPMENT)
    assert [version[-2:] for version in either.versions(SHIPMENT)] == [(5, 1), (6, 2), (5, 3)]


def test_the_same_bytes_under_another_name_are_not_loaded_again(either: Feeding) -> None:
    either.drop(SHIPMENT, "a", shipments((1, 5)))
    either.refresh(SHIPMENT)
    either.drop(SHIPMENT, "a", shipments((1, 6)))
    either.drop(SHIPMENT, "b", shipments((1, 5)))
    either.refresh(SHIPMENT)
    assert units(either) == {1: 6}
    assert either.files(SHIPMENT) == {"a": (1, None, None), "b": (0, None, "a")}


def test_rates_that_come_back_to_what_they_were_hold_again(feeding: Feeding) -> None:
    for number, rate in enumerate(("1.1", "1.2", "1.1")):
        feeding.drop(EXCHANGE_RATE, f"{number}", rates("USD", DAY, rate, "1.1"))
        feeding.refresh(EXCHANGE_RATE)
    assert feeding.current(EXCHANGE_RATE)[0] == ("USD", DAY, Decimal("1.1"))
    assert [rate for _, day, rate, _ in feeding.versions(EXCHANGE_RATE) if day == DAY] == [
        Decimal("1.1"),
        Decimal("1.2"),
        Decimal("1.1"),
    ]


def test_a_file_may_arrive_late_and_sort_before_all_others(feeding: Feeding) -> None:
    feeding.drop(SHIPMENT, "b", shipments((1, 5)))
    feeding.refresh(SHIPMENT)
    feeding.drop(SHIPMENT, "a", shipments((2, 6)), modified_at=1_000_000_000)
    feeding.refresh(SHIPMENT)
    assert units(feeding) == {1: 5, 2: 6}


def test_files_of_one_batch_count_in_the_order_in_which_they_landed(feeding: Feeding) -> None:
    for path, number in (("c", 1), ("a", 2), ("b", 3)):
        feeding.drop(SHIPMENT, path, shipments((1, number)))
    (loaded,) = feeding.refresh(SHIPMENT).loaded
    assert [version[-2] for version in feeding.versions(SHIPMENT)] == [1, 2, 3]
    assert (loaded.new, loaded.changed) == (1, 2)


def test_many_files_become_several_batches(either: Feeding) -> None:
    for number in range(25):
        either.drop(SHIPMENT, f"{number:02}.gz", gzip.compress(shipments((number + 1, 5)), mtime=0))
    lake, warehouse = either.world.platform.lake, either.world.platform.warehouse
    taken = list(take_files(SHIPMENT, either.landing, lake.ingestion, most_files=10))
    assert [len(batch.files) for batch in taken] == [10, 10, 5]
    assert sorted(file.path for batch in taken for file in batch.files) == [f"{number:02}.gz" for number in range(25)]
    assert len(load_feed(SHIPMENT, warehouse, lake)) == 3
    assert units(either) == dict.fromkeys(range(1, 26), 5)
    assert either.refresh(SHIPMENT).taken == []


def test_a_file_of_a_feed_waits_for_no_other_in_another_part(feeding: Feeding, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("totes_dagster.feeds.take.ROWS_A_PART", 2)
    for number in range(1, 6):
        feeding.drop(SHIPMENT, str(number), shipments((1, number), (number + 1, 9)))
    (batch,) = feeding.refresh(SHIPMENT).taken
    assert len(batch.parts) == 5
    assert [version[-2] for version in feeding.versions(SHIPMENT) if version[0] == 1] == [1, 2, 3, 4, 5]


# Rows that break the contract, and files that are not the feed's


def test_a_row_is_in_quarantine_until_its_file_is_replaced(either: Feeding) -> None:
    either.drop(SHIPMENT, "a", shipments((1, 5), (2, 0), (3, 0)))
    either.refresh(SHIPMENT)
    assert either.quarantined(SHIPMENT) == [("a", 2), ("a", 3)]
    reasons = either.world.ask("select distinct reason, key, batch from feed_quarantine")
    assert reasons == [("units: input should be greater than or equal to 1", None, 1)]
    either.drop(SHIPMENT, "a", shipments((1, 5), (2, 0), (3, 7)))
    either.refresh(SHIPMENT)
    assert either.quarantined(SHIPMENT) == [("a", 2)]
    assert units(either) == {1: 5, 3: 7}


def test_a_file_that_is_written_again_as_it_is_leaves_its_rows_in_quarantine(feeding: Feeding) -> None:
    for _ in range(2):
        feeding.drop(SHIPMENT, "a", shipments((1, 5), (2, 0)))
        feeding.refresh(SHIPMENT)
        assert feeding.quarantined(SHIPMENT) == [("a", 2)]
        assert feeding.files(SHIPMENT)["a"][0] == 2


def test_a_doubted_rate_is_in_quarantine_until_another_file_has_one_of_that_day(feeding: Feeding) -> None:
    feeding.drop(EXCHANGE_RATE, "a", rates("USD", DAY, "1.1", "1.1", "2.2"))
    feeding.refresh(EXCHANGE_RATE)
    assert feeding.world.ask("select line, key from feed_quarantine") == [(3, "USD 2026-11-28")]
    feeding.drop(EXCHANGE_RATE, "b", rates("USD", DAY, "1.1", "1.1", "2.2", "2.2"))
    feeding.refresh(EXCHANGE_RATE)
    assert feeding.quarantined(EXCHANGE_RATE) == []
    assert [rate for _, _, rate in feeding.current(EXCHANGE_RATE)] == [
        Decimal(rate) for rate in ("1.1", "1.1", "2.2", "2.2")
    ]


def test_a_part_lets_go_of_what_an_earlier_part_of_the_batch_set_aside(
    feeding: Feeding, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("totes_dagster.feeds.take.ROWS_A_PART", 1)
    feeding.drop(EXCHANGE_RATE, "a", rates("USD", DAY, "1.1", "1.1", "2.2"))
    feeding.drop(EXCHANGE_RATE, "b", rates("USD", DAY, "1.1", "1.1", "2.2", "2.2"))
    feeding.refresh(EXCHANGE_RATE)
    assert feeding.quarantined(EXCHANGE_RATE) == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<html>503</html>", "It is HTML or XML."),
        (gzip.compress(shipments((1, 5)), mtime=0)[:-9], "gzip that ends too early"),
        ("sales_order_id,delivered_at,units\n1,ü,5".encode("latin-1"), "not UTF-8"),
    ],
    ids=["HTML", "truncated", "Latin-1"],
)
def test_a_file_that_is_refused_is_kept_with_the_reason_and_read_again_when_it_is_replaced(
    either: Feeding, content: bytes, reason: str
) -> None:
    either.drop(SHIPMENT, "a", content)
    either.drop(SHIPMENT, "b", shipments((2, 6)))
    (batch,) = either.refresh(SHIPMENT).taken
    (refused,) = [file for file in batch.files if file.refused]
    assert reason in (either.files(SHIPMENT)["a"][1] or "")
    assert refused.dead_letter
    kept = either.world.platform.lake.ingestion.read(refused.dead_letter)
    assert kept is not None
    assert kept.to_pybytes() == content
    assert units(either) == {2: 6}
    assert either.refresh(SHIPMENT).taken == []
    either.drop(SHIPMENT, "a", shipments((1, 5)))
    either.refresh(SHIPMENT)
    assert units(either) == {1: 5, 2: 6}
    assert either.files(SHIPMENT)["a"] == (1, None, None)


def test_a_file_that_is_too_large_is_refused_unread_and_not_kept(
    feeding: Feeding, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("totes_dagster.feeds.take.MOST_BYTES", 100)
    feeding.drop(SHIPMENT, "a", shipments((1, 5), (2, 5), (3, 5)))
    (batch,) = feeding.refresh(SHIPMENT).taken
    assert [(file.refused, file.dead_letter) for file in batch.files] == [
        ("It has more than 100 bytes. Split it.", None)
    ]


def test_only_a_few_bytes_of_a_refused_file_are_kept(feeding: Feeding, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("totes_dagster.feeds.take.MOST_DEAD_BYTES", 10)
    feeding.drop(SHIPMENT, "a", b"x" * 10)
    feeding.drop(SHIPMENT, "b", b"x" * 11)
    (batch,) = feeding.refresh(SHIPMENT).taken
    assert [file.dead_letter is not None for file in batch.files] == [True, False]


# The rows' own time


def test_a_target_that_was_decided_earlier_replaces_none_decided_later(feeding: Feeding) -> None:
    feeding.drop(SALES_TARGET, "a.csv", targets(("2026-11", "100", "2026-10-02"), ("2026-12", "5", "")))
    feeding.refresh(SALES_TARGET)
    feeding.drop(
        SALES_TARGET,
        "b.csv",
        targets(
            ("2026-11", "90", "2026-10-01"), ("2026-11", "80", ""), ("2026-12", "6", ""), ("2026-12", "7", "2020-01-01")
        ),
    )
    (loaded,) = feeding.refresh(SALES_TARGET).loaded
    assert (loaded.new, loaded.changed, loaded.outdated) == (0, 2, 2)
    assert [amount for _, _, amount, _ in feeding.current(SALES_TARGET)] == [100, 7]
    feeding.drop(SALES_TARGET, "c.csv", targets(("2026-11", "110", "2026-10-02")))
    feeding.refresh(SALES_TARGET)
    assert [amount for _, _, amount, _ in feeding.current(SALES_TARGET)] == [110, 7]


def test_rows_of_one_key_in_one_batch_are_versions_in_the_order_of_their_own_time(feeding: Feeding) -> None:
    feeding.drop(
        SALES_TARGET,
        "a.csv",
        targets(
            ("2026-11", "3", "2026-10-03"),
            ("2026-11", "1", "2026-10-01"),
            ("2026-11", "0", ""),
            ("2026-11", "2", "2026-10-02"),
            ("2026-11", "2", "2026-10-02"),
            ("2026-11", "4", "2026-10-03"),
        ),
    )
    (loaded,) = feeding.refresh(SALES_TARGET).loaded
    assert [int(version[2]) for version in feeding.versions(SALES_TARGET)] == [0, 1, 2, 3, 4]
    assert (loaded.new, loaded.changed, loaded.counts()["unchanged"]) == (1, 4, 1)


# What the landing zone may look like


def test_a_landing_folder_that_does_not_exist_has_no_files_and_is_not_created(feeding: Feeding) -> None:
    done = feeding.refresh(SHIPMENT)
    assert (done.taken, done.loaded) == ([], [])
    assert not feeding.file(SHIPMENT, "").parent.exists()


def test_hidden_and_unfinished_files_are_left(feeding: Feeding) -> None:
    for path in (".a", "a.tmp", "a.PART", "b.crdownload", ".hidden/a", "in/.hidden/a"):
        feeding.drop(SHIPMENT, path, shipments((1, 5)))
    assert feeding.refresh(SHIPMENT).taken == []


def test_a_file_in_a_folder_is_left_while_it_is_being_written(feeding: Feeding) -> None:
    feeding.drop(SHIPMENT, "a", shipments((1, 5)))
    now = int(datetime.now(UTC).timestamp())
    patient = LandingZone(feeding.landing.zone, timedelta(hours=1))
    os.utime(feeding.file(SHIPMENT, "a"), (now - 1_800, now - 1_800))
    assert patient.files(SHIPMENT.name) == []
    for age in (3_700, -3_700):  # the writer's clock may be ahead
        os.utime(feeding.file(SHIPMENT, "a"), (now - age, now - age))
        assert len(patient.files(SHIPMENT.name)) == 1


@pytest.mark.parametrize(
    "name",
    ['it\'s "quoted".csv', "100%.csv", "a%20b", "#1?*~|[x]{y}", "ü/日本/😀 ", "back\\slash", "x" * 255, "e\u0301"],
)
def test_a_file_may_have_any_name(feeding: Feeding, name: str) -> None:
    feeding.drop(SHIPMENT, name, shipments((1, 5), (2, 0)))
    feeding.refresh(SHIPMENT)
    assert (units(feeding), feeding.quarantined(SHIPMENT)) == ({1: 5}, [(name, 2)])
    assert feeding.refresh(SHIPMENT).taken == []


@pytest.mark.parametrize("name", [b"line\nbreak", b"\xff.csv"])
def test_a_name_that_no_object_can_have_is_an_error_that_names_it(feeding: Feeding, name: bytes) -> None:
    feeding.drop(SHIPMENT, "a", shipments((1, 5)))
    Path(os.fsdecode(os.fsencode(feeding.file(SHIPMENT, "a").parent) + b"/" + name)).write_bytes(b"x")
    with pytest.raises(LakeError, match=r"could not list shipment: .*(break|FF.csv)"):
        feeding.refresh(SHIPMENT)


def test_markers_that_consoles_put_in_place_of_folders_are_no_files(either_bucket: Feeding) -> None:
    for path in ("", "sub/"):
        either_bucket.drop(SHIPMENT, path, b"")
    either_bucket.drop(SHIPMENT, "sub/a", shipments((1, 5)))
    either_bucket.refresh(SHIPMENT)
    assert list(either_bucket.files(SHIPMENT)) == ["sub/a"]
    assert either_bucket.refresh(SHIPMENT).taken == []


def test_links_are_followed_and_what_is_no_file_is_left(feeding: Feeding) -> None:
    feeding.drop(SHIPMENT, "a", shipments((1, 5)))
    folder = feeding.file(SHIPMENT, "a").parent
    (folder / "link").symlink_to(folder / "a")
    (folder / "dangling").symlink_to(folder / "nothing")
    os.mkfifo(folder / "pipe")
    feeding.refresh(SHIPMENT)
    assert {path: repeats for path, (_, _, repeats) in feeding.files(SHIPMENT).items()} == {"a": None, "link": "a"}


def test_a_file_that_cannot_be_read_stops_no_other_and_is_named(feeding: Feeding) -> None:
    long = "/".join(["x" * 250] * 5)
    feeding.drop(SHIPMENT, long, shipments((1, 5)))
    feeding.drop(SHIPMENT, "b", shipments((2, 6)))
    feeding.refresh(SHIPMENT)
    assert units(feeding) == {2: 6}
    with pytest.raises(LakeError, match=r"1 files of shipment in file:.* The path x+… has more than 1,024 bytes"):
        feeding.refresh(SHIPMENT)
    feeding.drop(SHIPMENT, "c", shipments((3, 7)))
    feeding.refresh(SHIPMENT)
    assert units(feeding) == {2: 6, 3: 7}


def test_an_object_that_may_not_be_read_stops_no_other_and_is_named(
    either_bucket: Feeding, object_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    feeding, url = either_bucket, either_bucket.landing.zone.url
    for path, number in (("a", 1), ("b", 2)):
        feeding.drop(SHIPMENT, path, shipments((number, 5)))

    def decide(request: Request, pass_on: PassOn) -> Answer:
        if request.method == "GET" and request.path.endswith("/a"):
            return refusal(403, "AccessDenied", "Access Denied")
        return pass_on(request)

    with in_front_of(object_store, decide) as front:
        monkeypatch.setenv("AWS_ENDPOINT_URL", front)
        guarded = feeding_from(feeding.world, url)
        guarded.refresh(SHIPMENT)
        assert units(feeding) == {2: 5}
        with pytest.raises(LakeError, match=r"1 files of shipment in .*; all others are taken. .*shipment/a"):
            guarded.refresh(SHIPMENT)
    feeding.refresh(SHIPMENT)
    assert units(feeding) == {1: 5, 2: 5}


def test_an_object_that_is_replaced_while_it_is_read_is_taken_as_it_is_then(
    either_bucket: Feeding, object_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    feeding, url = either_bucket, either_bucket.landing.zone.url
    feeding.drop(SHIPMENT, "a", shipments((1, 5)))
    feeding.drop(SHIPMENT, "b", shipments((2, 5)))
    replaced: list[str] = []

    def decide(request: Request, pass_on: PassOn) -> Answer:
        if request.method == "GET" and request.path.endswith("/a") and not replaced:
            replaced.append("a")
            feeding.drop(SHIPMENT, "a", shipments((1, 6)))
        return pass_on(request)

    with in_front_of(object_store, decide) as front:
        monkeypatch.setenv("AWS_ENDPOINT_URL", front)
        guarded = feeding_from(feeding.world, url)
        monkeypatch.setenv("AWS_ENDPOINT_URL", object_store)
        guarded.refresh(SHIPMENT)
        assert replaced
        assert [version[-2:] for version in feeding.versions(SHIPMENT)] == [(5, 1), (6, 2)]


@pytest.fixture
def either_bucket(request: pytest.FixtureRequest, feeding: Feeding) -> Feeding:
    """A landing zone on an object store; the lake is in a folder."""
    return feeding_from(feeding.world, f"s3://{request.getfixturevalue('bucket')}/landing")


# Together with the rest


def test_two_at_once_take_and_load_each_file_once(feeding: Feeding) -> None:
    for number in range(1, 13):
        feeding.drop(SHIPMENT, f"{number:02}", shipments((number, 5), (100, number)))
    platform, together = feeding.world.platform, Barrier(2, timeout=30)

    def run_it() -> None:
        landing, lake = LandingZone(feeding.landing.zone, timedelta()), reopened(platform.lake)
        together.wait()
        list(take_files(SHIPMENT, landing, lake.ingestion, most_files=3))
        together.wait()
        refresh_feed(SHIPMENT, landing, lake, platform.warehouse)

    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(run_it) for _ in range(2)]:
            future.result(timeout=60)
    log = FeedLog(platform.lake.ingestion, SHIPMENT.name)
    taken = [file.path for batch in range(1, log.head() + 1) for file in log.manifest(batch).files]
    assert sorted(taken) == [f"{number:02}" for number in range(1, 13)]
    assert [version[-2] for version in feeding.versions(SHIPMENT) if version[0] == 100] == list(range(1, 13))
    assert units(feeding) == {**dict.fromkeys(range(1, 13), 5), 100: 12}


def test_a_process_that_never_comes_first_says_so_and_loses_nothing(
    feeding: Feeding, monkeypatch: pytest.MonkeyPatch
) -> None:
    feeding.drop(SHIPMENT, "0", shipments((1, 5)))
    ingestion = feeding.world.platform.lake.ingestion
    commit, others = FeedLog.commit, iter(range(1, 100))

    def come_second(log: FeedLog, manifest: FeedManifest) -> bool:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(FeedLog, "commit", commit)
            next(take_files(SHIPMENT, feeding.landing, ingestion))
        feeding.drop(SHIPMENT, str(next(others)), shipments((1, 5 + manifest.batch)))
        return commit(log, manifest)

    monkeypatch.setattr(FeedLog, "commit", come_second)
    with pytest.raises(BatchConflictError, match="committed the next batch of shipment first, 5 times in a row"):
        list(take_files(SHIPMENT, feeding.landing, ingestion))
    monkeypatch.undo()
    feeding.refresh(SHIPMENT)
    assert [version[-2:] for version in feeding.versions(SHIPMENT)] == [(4 + number, number) for number in range(1, 7)]
