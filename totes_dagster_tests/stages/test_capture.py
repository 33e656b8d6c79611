"""What a batch must hold, decided over plain values."""

import hashlib
from functools import reduce
from operator import xor

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from totes_dagster.lake.manifest import Census
from totes_dagster.schema.totesys import Capture
from totes_dagster.stages.capture import TableCapture, capture_of_table, horizon_of, none_gone
from totes_dagster_tests.stages.manifests import CENSUS, SNAPSHOT, manifest

PREVIOUS = manifest({})
ENTRY = PREVIOUS.tables["payment"]


def test_before_the_first_batch_every_row_is_new() -> None:
    assert horizon_of(None, SNAPSHOT) is None


@pytest.mark.parametrize("field", ["system_identifier", "timeline", "database_oid"])
def test_in_another_history_every_row_may_be_new(field: str) -> None:
    assert horizon_of(PREVIOUS, SNAPSHOT.model_copy(update={field: 77})) is None


@pytest.mark.parametrize(
    ("xmax", "horizon"),
    [(999, None), (1000, 1000), (1001, 1000), (1000 + 2**31 - 1, 1000), (1000 + 2**31, None), (2**40, None)],
)
def test_the_horizon_is_the_previous_xmin_as_long_as_32_bits_tell_ids_apart(xmax: int, horizon: int | None) -> None:
    assert horizon_of(PREVIOUS, SNAPSHOT.model_copy(update={"xmax": xmax})) == horizon


def test_the_horizon_is_where_the_oldest_transaction_of_then_began_not_where_the_newest_did() -> None:
    before = PREVIOUS.model_copy(update={"snapshot": SNAPSHOT.model_copy(update={"xmin": 500, "xmax": 1000})})
    assert horizon_of(before, SNAPSHOT) == 500


@pytest.mark.parametrize("capture", Capture)
def test_a_table_whose_counts_are_the_same_is_not_captured(capture: Capture) -> None:
    assert capture_of_table(capture, ENTRY, CENSUS, 1000, recapture=False) is None


@pytest.mark.parametrize("field", ["rows", "keys", "versions"])
def test_a_table_of_which_one_count_differs_is_captured(field: str) -> None:
    census = CENSUS.model_copy(update={field: 99})
    changes = capture_of_table(Capture.CHANGES, ENTRY, census, 1000, recapture=False)
    whole = capture_of_table(Capture.WHOLE, ENTRY, census, 1000, recapture=False)
    assert changes == TableCapture(Capture.CHANGES, horizon=1000)
    assert whole == TableCapture(Capture.WHOLE)


@pytest.mark.parametrize("capture", Capture)
@pytest.mark.parametrize(
    ("entry", "horizon", "recapture"),
    [(None, 1000, False), (ENTRY, None, False), (ENTRY, 1000, True)],
    ids=["a new table", "no horizon", "asked to"],
)
def test_a_table_is_captured_whole(capture: Capture, entry: object, horizon: int | None, *, recapture: bool) -> None:
    captured = capture_of_table(capture, entry, CENSUS, horizon, recapture=recapture)  # type: ignore[arg-type]
    assert captured == TableCapture(Capture.WHOLE)


def checksum(keys: set[int]) -> int:
    """A stand-in for PostgreSQL's: signed 64 bits for each key, combined by exclusive or."""
    hashes = (hashlib.blake2b(str(key).encode(), digest_size=8).digest() for key in keys)
    return reduce(xor, (int.from_bytes(each, signed=True) for each in hashes), 0)


def census(keys: set[int]) -> Census:
    return Census(table_oid=1, rows=len(keys), keys=checksum(keys), versions=0)


KEYS = st.sets(st.integers(-10, 10))


@settings(deadline=None, max_examples=500)
@given(before=KEYS, now=KEYS)
@example(before={1, 2, 3}, now={1, 2, 4})
@example(before={1, 2}, now={2, 3, 4})
@example(before={1}, now=set())
@example(before=set(), now={1})
def test_what_the_checksums_prove_is_so(before: set[int], now: set[int]) -> None:
    newest = set(sorted(now)[len(before) :]) if len(now) > len(before) else set()
    proven = none_gone(census(before), census(now), checksum(newest))
    # Whatever is proven is true, and whenever the newest keys are all that is new, it is proven.
    assert proven == (before <= now and now - before == newest)


@settings(deadline=None)
@given(before=KEYS, new=KEYS)
def test_rows_that_only_came_at_the_end_need_no_live_keys(before: set[int], new: set[int]) -> None:
    new = {100 + key for key in new}
    assert none_gone(census(before), census(before | new), checksum(new))
