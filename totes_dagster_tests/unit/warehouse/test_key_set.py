"""How many keys occur before is known of whatever keys, in whatever order and pieces."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from totes_dagster.warehouse.key_set import KeySet

KEYS = st.one_of(
    st.integers(-(2**31), 2**31 - 1),
    st.integers(-20, 20),
    st.sampled_from([-(2**31), 2**31 - 1, 0, -1, 7, 8]),
)


@given(st.lists(st.lists(KEYS)))
def test_a_key_that_occurs_before_is_counted(pieces: list[list[int]]) -> None:
    keys, seen = KeySet(), set[int]()
    for piece in pieces:
        repeated = len(piece) - len(set(piece) - seen)
        seen |= set(piece)
        assert keys.add(pa.array(piece, pa.int32())) == repeated


def test_a_million_keys_in_a_row_take_little_memory() -> None:
    keys = KeySet()
    assert keys.add(pa.array(range(1_000_000), pa.int32())) == 0
    assert keys.add(pa.array([999_999, 1_000_000], pa.int32())) == 1
