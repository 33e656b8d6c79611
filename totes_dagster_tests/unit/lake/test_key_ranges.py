"""Keys by ranges: what is counted shows in which ranges keys may be gone, and survives its journey through the lake."""

from collections.abc import Collection

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from totes_dagster.errors import PartSchemaError
from totes_dagster.lake.ingested import encoded_keys, key_ranges_folder_of
from totes_dagster.lake.key_ranges import (
    CHECKSUM_MODULUS,
    KeyRanges,
    RangeCount,
    are_of,
    from_added,
    from_table,
    range_count,
    range_of,
    ranges_without_some,
    to_added,
    to_table,
    total_of,
    with_added,
)
from totes_dagster.lake.zone import Zone
from totes_dagster_tests.unit.ingest.test_capture import census, checksum

KEYS = st.sets(st.integers(-(2**31), 2**31 - 1) | st.integers(-40_000, 40_000), max_size=30)


def ranges_of(keys: Collection[int]) -> KeyRanges:
    """The ranges of some keys, counted one by one."""
    numbers = {key // 16_384 for key in keys}
    members = {number: {key for key in keys if key // 16_384 == number} for number in numbers}
    return {number: range_count(len(those), checksum(those)) for number, those in members.items()}


@pytest.mark.parametrize(
    ("key", "number"),
    [
        (0, 0),
        (16_383, 0),
        (16_384, 1),
        (-1, -1),
        (-16_384, -1),
        (-16_385, -2),
        (2**31 - 1, 131_071),
        (-(2**31), -131_072),
    ],
)
def test_a_range_is_16384_keys_below_zero_too(key: int, number: int) -> None:
    assert range_of(key) == number


@given(before=KEYS, gone=KEYS, new=KEYS)
def test_a_key_that_is_gone_is_in_a_range_that_differs(before: set[int], gone: set[int], new: set[int]) -> None:
    now = (before - gone) | new
    suspects = ranges_without_some(ranges_of(before), ranges_of(now))
    assert {range_of(key) for key in before - now} <= suspects
    # Nothing is looked for where nothing happened, nor where there was nothing before.
    assert suspects <= {range_of(key) for key in before ^ now} & {range_of(key) for key in before}


@given(before=KEYS, new=KEYS)
def test_what_was_added_adds_up(before: set[int], new: set[int]) -> None:
    new = new - before
    added = from_added(to_added(ranges_of(new)))
    assert with_added(ranges_of(before), added) == ranges_of(before | new)


@given(keys=KEYS)
def test_ranges_add_up_to_the_census_and_to_no_other(keys: set[int]) -> None:
    assert are_of(ranges_of(keys), census(keys))
    assert not are_of(ranges_of(keys), census(keys | {max(keys, default=0) + 1}))
    assert total_of(ranges_of(keys)) == range_count(len(keys), checksum(keys))


@given(keys=KEYS)
def test_ranges_are_read_as_they_were_written(keys: set[int]) -> None:
    assert from_table(to_table(ranges_of(keys))) == ranges_of(keys)


def test_checksums_are_those_of_postgres_without_its_sign() -> None:
    assert range_count(1, -1) == RangeCount(1, CHECKSUM_MODULUS - 1)
    largest = {0: range_count(1, -1)}
    assert from_table(to_table(largest)) == largest


def test_what_are_no_ranges_is_refused() -> None:
    with pytest.raises(PartSchemaError, match="not the ranges of a table's keys: payment_id"):
        from_table(pa.table({"payment_id": [1]}))


def test_the_ranges_have_a_folder_of_their_own() -> None:
    assert key_ranges_folder_of("payment", 42) == "key_ranges/payment/batch=0000000042"


@given(keys=st.lists(st.integers(-(2**31), 2**31 - 1), unique=True).map(sorted))
def test_keys_are_read_as_they_were_written(keys: list[int]) -> None:
    rows = pa.table({"payment_id": pa.array(keys, pa.int32())})
    assert pq.read_table(pa.BufferReader(encoded_keys(rows))).equals(rows)


def test_dense_keys_take_a_hundredth_of_a_byte_each(zone: Zone) -> None:
    rows = pa.table({"payment_id": pa.array(range(2**18), pa.int32())})
    data = encoded_keys(rows)
    assert data.size < 2**18 / 100
    assert zone.create("live_keys/dense", data)
    assert zone.read_part("live_keys/dense").equals(rows)
