"""Working ahead: in order, one item at a time ahead, with whatever is raised."""

import threading
from collections.abc import Iterator

import pytest

from totes_dagster.runtime.ahead import ahead


def test_all_items_come_in_order() -> None:
    assert list(ahead(range(100))) == list(range(100))
    assert list(ahead([])) == []
    assert list(ahead([None, None])) == [None, None]


def test_the_next_item_is_computed_while_one_is_used_and_no_other() -> None:
    computed = [threading.Event() for _ in range(4)]

    def items() -> Iterator[int]:
        for number, event in enumerate(computed):
            event.set()
            yield number

    taken = ahead(items())
    assert next(taken) == 0
    assert computed[1].wait(30)
    assert not computed[2].is_set()
    assert next(taken) == 1
    assert computed[2].wait(30)
    assert not computed[3].is_set()
    taken.close()  # it is a generator


def test_what_computing_an_item_raises_is_raised_where_it_is_taken() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise LookupError("the second")

    taken = ahead(items())
    assert next(taken) == 1
    with pytest.raises(LookupError, match="the second"):
        next(taken)


def test_items_that_are_not_wanted_any_more_are_not_computed() -> None:
    begun: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            begun.append(number)
            yield number

    taken = ahead(items())
    next(taken)
    taken.close()
    assert len(begun) <= 2
