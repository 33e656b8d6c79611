"""How many keys occur before is known of whatever keys, in whatever order and pieces."""

from collections import Counter

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from totes_dagster.lake.key_set import KeySet

KEYS = st.one_of(
    st.integers(-(2**31), 2**31 - 1),
    st.integers(-20, 20),
    st.sampled_from([-(2**31), 2**31 - 1, 0, -1, 7, 8]),
)


@given(st.lists(st.lists(KEYS)))
def test_keys_that_occur_before_are_found(pieces: list[list[int]]) -> None:
    keys, seen = KeySet(), set[int]()
    for piece in pieces:
        repeated = Counter(piece) - Counter(set(piece) - seen)
        seen |= set(piece)
        assert Counter(keys.add(pa.array(piece, pa.int32())).tolist()) == repeated


def test_a_million_keys_in_a_row_are_told_from_the_next() -> None:
    keys = KeySet()
    assert len(keys.add(pa.array(range(1_000_000), pa.int32()))) == 0
    assert keys.add(pa.array([1_000_000, 999_999], pa.int32())).tolist() == [999_999]
