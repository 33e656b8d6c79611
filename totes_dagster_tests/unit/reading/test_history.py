"""Of all versions of a row that parts hold, the newest counts, unless the source no longer has its key."""

from collections.abc import Sequence

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from totes_dagster.errors import SelectionError
from totes_dagster.reading.history import newest_rows
from totes_dagster.reading.selection import NEWEST, Selection

Keys = list[int | None]

KEY = pa.int32()


def chunked(keys: Sequence[int | None], type_: pa.DataType = KEY) -> pa.ChunkedArray:
    half = len(keys) // 2
    return pa.chunked_array([pa.array(keys[:half], type_), pa.array(keys[half:], type_)])


def expected(parts: Sequence[Keys], live: Keys | None, listed_until: int) -> list[list[int]]:
    """One row at a time."""
    newest: dict[int, tuple[int, int]] = {}
    for part, keys in enumerate(parts):
        for row, key in enumerate(keys):
            if key is not None:
                newest[key] = part, row
    counting = {where for key, where in newest.items() if live is None or where[0] >= listed_until or key in live}
    return [[row for row in range(len(keys)) if (part, row) in counting] for part, keys in enumerate(parts)]


parts_of_keys = st.lists(st.lists(st.one_of(st.none(), st.integers(-3, 8)), max_size=6), max_size=6)


@given(parts=parts_of_keys, live=st.none() | st.lists(st.integers(-3, 8), unique=True), data=st.data())
def test_the_newest_row_of_each_key_counts_unless_it_is_gone(
    parts: list[Keys], live: Keys | None, data: st.DataObject
) -> None:
    listed_until = data.draw(st.integers(0, len(parts)))
    found = newest_rows([chunked(keys) for keys in parts], None if live is None else [chunked(live)], listed_until)
    assert [positions.to_pylist() for positions in found] == expected(parts, live, listed_until)


def test_days_are_keys_too() -> None:
    days = [chunked([1, 2], pa.date32()), chunked([2, 3], pa.date32())]
    assert [positions.to_pylist() for positions in newest_rows(days, None, 0)] == [[0], [0, 1]]


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
