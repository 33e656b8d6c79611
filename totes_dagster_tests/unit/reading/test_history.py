"""Of all versions of a row that parts hold, the newest counts, unless the source no longer has its key."""

from collections.abc import Sequence

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from totes_dagster.errors import SelectionError
from totes_dagster.reading.history import ListedKeys, newest_rows
from totes_dagster.reading.selection import NEWEST, Selection

Keys = list[int | None]

KEY = pa.int32()


def chunked(keys: Sequence[int | None], type_: pa.DataType = KEY) -> pa.ChunkedArray:
    half = len(keys) // 2
    return pa.chunked_array([pa.array(keys[:half], type_), pa.array(keys[half:], type_)])


def expected(parts: Sequence[Keys], lists: Sequence[tuple[Keys, set[int] | None, int]]) -> list[list[int]]:
    """One row at a time."""
    newest: dict[int, tuple[int, int]] = {}
    for part, keys in enumerate(parts):
        for row, key in enumerate(keys):
            if key is not None:
                newest[key] = part, row
    counting = {
        where
        for key, where in newest.items()
        if all(
            where[0] >= until or key in live or (ranges is not None and key // 2**14 not in ranges)
            for live, ranges, until in lists
        )
    }
    return [[row for row in range(len(keys)) if (part, row) in counting] for part, keys in enumerate(parts)]


SOME_KEYS = st.integers(-3, 8) | st.sampled_from([-(2**31), -(2**14) - 1, -(2**14), 2**14 - 1, 2**14, 2**31 - 1])
SOME_RANGES = st.sets(st.sampled_from([-(2**17), -2, -1, 0, 1, 2**17 - 1]))
parts_of_keys = st.lists(st.lists(st.none() | SOME_KEYS, max_size=6), max_size=6)
LISTS = st.lists(st.tuples(st.lists(SOME_KEYS, unique=True), st.none() | SOME_RANGES), max_size=3)


@given(parts=parts_of_keys, lists=LISTS, data=st.data())
def test_the_newest_row_of_each_key_counts_unless_it_is_gone(
    parts: list[Keys], lists: list[tuple[Keys, set[int] | None]], data: st.DataObject
) -> None:
    dated = [(live, ranges, data.draw(st.integers(0, len(parts)))) for live, ranges in lists]
    found = newest_rows(
        [chunked(keys) for keys in parts],
        [
            ListedKeys([chunked(live)], None if ranges is None else tuple(sorted(ranges)), until)
            for live, ranges, until in dated
        ],
    )
    assert [positions.to_pylist() for positions in found] == expected(parts, dated)


def test_days_are_keys_too() -> None:
    days = [chunked([1, 2], pa.date32()), chunked([2, 3], pa.date32())]
    assert [positions.to_pylist() for positions in newest_rows(days)] == [[0], [0, 1]]


def test_the_newest_state_is_meant_unless_something_else_is_said() -> None:
    assert Selection.from_metadata({"owner": "finance"}) == NEWEST == Selection()
    assert Selection.from_metadata({"batch": 3, "owner": "finance"}) == Selection(batch=3)
    assert Selection.from_metadata({"as_of": 3}) == Selection(as_of=3)


@pytest.mark.parametrize("number", [0, -1, "3", 1.0, True])
def test_what_is_not_the_number_of_a_batch_is_refused(number: object) -> None:
    with pytest.raises(SelectionError, match="is not the number of a batch"):
        Selection.from_metadata({"batch": number})


def test_a_batch_and_the_state_as_of_one_exclude_each_other() -> None:
    with pytest.raises(SelectionError, match="not both"):
        Selection(batch=1, as_of=1)
