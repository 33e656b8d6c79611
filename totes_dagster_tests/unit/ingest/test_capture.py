"""What a batch must hold, decided over plain values."""

import hashlib
from datetime import UTC, datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from totes_dagster.ingest.capture import (
    MANY_KEYS,
    Progression,
    TableCapture,
    TableState,
    all_keys_remain,
    capture_of_table,
    progression_of,
)
from totes_dagster.lake.key_ranges import CHECKSUM_MODULUS
from totes_dagster.lake.manifest import Census, Snapshot, TableEntry
from totes_dagster.schema.totesys import Capture
from totes_dagster_tests.unit.manifests import CENSUS, SNAPSHOT, manifest

PREVIOUS = manifest({})
ENTRY = PREVIOUS.tables["payment"]
CHANGES_SINCE = Progression(1000)


def changes_of(census: Census, entry: TableEntry | None = ENTRY, *, unique_keys: bool = True) -> TableState:
    """An event table in a snapshot."""
    return TableState(Capture.CHANGES, census, entry, unique_keys)


def test_before_the_first_batch_every_row_is_new() -> None:
    assert progression_of(None, SNAPSHOT) == Progression(None, "This is the first batch.")


@pytest.mark.parametrize("field", ["system_identifier", "timeline", "database_oid"])
def test_in_another_history_every_row_may_be_new(field: str) -> None:
    progression = progression_of(PREVIOUS, SNAPSHOT.model_copy(update={field: 77}))
    assert progression.horizon is None
    assert "not the one that batch 1 was taken from" in progression.reason


@pytest.mark.parametrize("xmax", [1000, 1001, 1000 + 2**31 - 1])
def test_the_horizon_is_the_previous_xmin_as_long_as_32_bits_tell_ids_apart(xmax: int) -> None:
    assert progression_of(PREVIOUS, SNAPSHOT.model_copy(update={"xmax": xmax})) == Progression(1000)


@pytest.mark.parametrize(
    ("xmax", "why"),
    [
        (999, "restored from a backup"),
        (1000 + 2**31, "Too many transactions have passed"),
        (2**40, "Too many transactions have passed"),
    ],
)
def test_where_ids_tell_nothing_every_row_may_be_new_and_it_is_said_why(xmax: int, why: str) -> None:
    progression = progression_of(PREVIOUS, SNAPSHOT.model_copy(update={"xmax": xmax}))
    assert progression.horizon is None
    assert why in progression.reason


def test_the_horizon_is_where_the_oldest_transaction_of_then_began_not_where_the_newest_did() -> None:
    before = PREVIOUS.model_copy(update={"snapshot": SNAPSHOT.model_copy(update={"xmin": 500, "xmax": 1000})})
    assert progression_of(before, SNAPSHOT) == Progression(500)


@pytest.mark.parametrize(
    ("before", "now", "restarted"), [(1, 1, False), (1, 2, True), (None, 2, False), (1, None, True)]
)
def test_a_server_that_was_started_in_between_is_noticed_where_its_start_is_known(
    before: int | None, now: int | None, *, restarted: bool
) -> None:
    def started(at: int | None) -> Snapshot:
        moment = at and datetime(2024, 2, at, tzinfo=UTC)
        return SNAPSHOT.model_copy(update={"server_started_at": moment})

    previous = PREVIOUS.model_copy(update={"snapshot": started(before)})
    assert progression_of(previous, started(now)) == Progression(1000, restarted=restarted)


@pytest.mark.parametrize("capture", Capture)
def test_a_table_whose_counts_are_the_same_is_not_captured(capture: Capture) -> None:
    assert capture_of_table(TableState(capture, CENSUS, ENTRY), CHANGES_SINCE) is None


@pytest.mark.parametrize("field", ["rows", "keys", "versions"])
def test_a_table_of_which_one_count_differs_is_captured(field: str) -> None:
    census = CENSUS.model_copy(update={field: 99})
    changes = capture_of_table(changes_of(census), CHANGES_SINCE)
    whole = capture_of_table(TableState(Capture.WHOLE, census, ENTRY), CHANGES_SINCE)
    assert changes == TableCapture(Capture.CHANGES, horizon=1000)
    assert whole == TableCapture(Capture.WHOLE)


@pytest.mark.parametrize("capture", Capture)
@pytest.mark.parametrize(
    ("entry", "horizon", "recapture"),
    [(None, 1000, False), (ENTRY, None, False), (ENTRY, 1000, True)],
    ids=["a new table", "no horizon", "asked to"],
)
def test_a_table_is_captured_whole(
    capture: Capture, entry: TableEntry | None, horizon: int | None, *, recapture: bool
) -> None:
    captured = capture_of_table(TableState(capture, CENSUS, entry), Progression(horizon), recapture=recapture)
    assert captured == TableCapture(Capture.WHOLE)


@pytest.mark.parametrize("capture", Capture)
@pytest.mark.parametrize(("field", "value"), [("table_oid", 2), ("columns", "others")])
def test_another_table_or_other_columns_under_the_name_are_captured_whole_though_no_count_differs(
    capture: Capture, field: str, value: int | str
) -> None:
    census = CENSUS.model_copy(update={field: value})
    assert capture_of_table(TableState(capture, census, ENTRY), CHANGES_SINCE) == TableCapture(Capture.WHOLE)


def test_where_nobody_sees_to_it_that_keys_are_unique_the_whole_table_is_captured() -> None:
    unkeyed = CENSUS.model_copy(update={"versions": 99, "keyed": False})
    captured = capture_of_table(changes_of(unkeyed, unique_keys=False), CHANGES_SINCE)
    assert captured == TableCapture(Capture.WHOLE, unique_keys=False)
    before = ENTRY.model_copy(update={"census": unkeyed})
    assert capture_of_table(changes_of(unkeyed, before, unique_keys=False), CHANGES_SINCE) is None


def test_once_keys_are_unique_again_the_whole_table_is_captured_for_the_rows_that_are_left_may_be_old() -> None:
    before = ENTRY.model_copy(update={"census": CENSUS.model_copy(update={"keyed": False})})
    assert capture_of_table(changes_of(CENSUS, before), CHANGES_SINCE) == TableCapture(Capture.WHOLE)


@pytest.mark.parametrize("capture", Capture)
def test_after_a_restart_what_changed_is_captured_whole_and_what_did_not_is_not(capture: Capture) -> None:
    restarted = Progression(1000, restarted=True)
    changed = CENSUS.model_copy(update={"versions": 99})
    assert capture_of_table(TableState(capture, changed, ENTRY), restarted) == TableCapture(Capture.WHOLE)
    assert capture_of_table(TableState(capture, CENSUS, ENTRY), restarted) is None


def test_rows_to_repair_are_captured_by_their_keys_with_what_changed_changed_or_not() -> None:
    captured = capture_of_table(changes_of(CENSUS), CHANGES_SINCE, repair=[3, 5])
    assert captured == TableCapture(Capture.CHANGES, horizon=1000, keys=(3, 5))
    whole = capture_of_table(TableState(Capture.WHOLE, CENSUS, ENTRY), CHANGES_SINCE, repair=[3])
    assert whole == TableCapture(Capture.WHOLE)


def test_many_rows_to_repair_are_captured_with_the_whole_table() -> None:
    some = capture_of_table(changes_of(CENSUS), CHANGES_SINCE, repair=range(MANY_KEYS))
    many = capture_of_table(changes_of(CENSUS), CHANGES_SINCE, repair=range(MANY_KEYS + 1))
    assert some is not None
    assert len(some.keys) == MANY_KEYS
    assert many == TableCapture(Capture.WHOLE)


def checksum(keys: set[int]) -> int:
    """A stand-in for PostgreSQL's: signed 64 bits for each key, added up; the remainder has the sum's sign."""
    hashes = (hashlib.blake2b(str(key).encode(), digest_size=8).digest() for key in keys)
    total = sum(int.from_bytes(each, signed=True) for each in hashes)
    return abs(total) % CHECKSUM_MODULUS * (1 if total >= 0 else -1)


def census(keys: set[int]) -> Census:
    return Census(table_oid=1, rows=len(keys), keys=checksum(keys), versions=0)


KEYS = st.sets(st.integers(-10, 10))


@settings(max_examples=500)
@given(before=KEYS, now=KEYS)
@example(before={1, 2, 3}, now={1, 2, 4})
@example(before={1, 2}, now={2, 3, 4})
@example(before={1}, now=set())
@example(before=set(), now={1})
def test_what_the_checksums_prove_is_so(before: set[int], now: set[int]) -> None:
    newest = set(sorted(now)[len(before) :]) if len(now) > len(before) else set()
    proven = all_keys_remain(census(before), census(now), checksum(newest))
    # Whatever is proven is true, and whenever the newest keys are all that is new, it is proven.
    assert proven == (before <= now and now - before == newest)


@given(before=KEYS, new=KEYS)
def test_rows_that_only_came_at_the_end_need_no_live_keys(before: set[int], new: set[int]) -> None:
    new = {100 + key for key in new}
    assert all_keys_remain(census(before), census(before | new), checksum(new))
