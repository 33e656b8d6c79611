"""The numbers of batches: the last one is found in few looks, and paths sort as numbers do."""

import math

from hypothesis import example, given
from hypothesis import strategies as st

from totes_dagster.lake.batch_log import last_where, manifest_path


@given(last=st.integers(0, 10**6))
@example(last=0)
@example(last=2**19 - 1)
def test_the_last_number_is_found_with_few_questions(last: int) -> None:
    asked: list[int] = []

    def holds(number: int) -> bool:
        asked.append(number)
        return number <= last

    assert last_where(holds) == last
    assert len(asked) <= 2 * math.log2(last + 2) + 1
    assert min(asked) > 0


@given(last=st.integers(0, 10**6), since=st.integers(0, 10**6))
def test_from_a_known_number_it_takes_one_question_to_see_that_none_followed(last: int, since: int) -> None:
    known = max(last - since, 0)
    asked: list[int] = []

    def holds(number: int) -> bool:
        asked.append(number)
        return number <= last

    assert last_where(holds, known=known) == last
    assert len(asked) <= 2 * math.log2(last - known + 2) + 1
    assert min(asked) > known


def test_the_path_of_a_manifest_sorts_as_its_number_does() -> None:
    assert manifest_path(42) == "batches/0000000042.json"
    assert sorted(map(manifest_path, (2, 10, 9, 100))) == [manifest_path(number) for number in (2, 9, 10, 100)]
