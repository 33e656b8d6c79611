"""Viewers share results: one read for a state and filters, and a rest after it that is ten times as long."""

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from totes_dagster.dashboard.filters import Filters
from totes_dagster.dashboard.markup import Html
from totes_dagster.dashboard.reading import State
from totes_dagster.dashboard.rendering import Rendered
from totes_dagster.dashboard.results import REST, Key, Results
from totes_dagster.dashboard.site import PAGES
from totes_dagster.errors import DashboardError, DatabaseUnavailableError
from totes_dagster_tests.unit.dashboard.made_up import STATE, page_data

SALES = Key("sales", Filters())
EUROS = Key("sales", Filters(currency="EUR"))
GONE = DatabaseUnavailableError("The server is gone.")


@dataclass
class Warehouse:
    """A warehouse of which only the state counts, and a clock."""

    state: State = STATE
    seconds: float = 1.0
    time: float = 0.0
    error: Exception | None = None
    error_of_look: DatabaseUnavailableError | None = None
    reads: list[Key] = field(default_factory=list)
    announced: queue.Queue[Key] = field(default_factory=queue.Queue)
    may_read: threading.Event = field(default_factory=threading.Event)

    def read(self, key: Key) -> Rendered:
        self.reads.append(key)
        state = self.state
        assert self.may_read.wait(60)
        if self.error:
            raise self.error
        data = page_data(PAGES[key.page], key.filters)
        return Rendered(replace(data, state=state, seconds=self.seconds), Html(""))

    def look(self) -> State:
        if self.error_of_look:
            raise self.error_of_look
        return self.state

    def load(self) -> None:
        """A batch arrives."""
        assert self.state.loaded_at is not None
        self.state = replace(self.state, batch=self.state.batch + 1, loaded_at=self.state.loaded_at + timedelta(1))


@pytest.fixture
def warehouse() -> Warehouse:
    warehouse = Warehouse()
    warehouse.may_read.set()
    return warehouse


@pytest.fixture
def results(warehouse: Warehouse) -> Iterator[Results]:
    results = Results(warehouse.read, warehouse.look, warehouse.announced.put, lambda: warehouse.time)
    yield results
    warehouse.may_read.set()
    results.close()


def batch(results: Results, key: Key = SALES) -> int:
    return results.get(key).result(60).state.batch


def test_many_viewers_cause_one_read(results: Results, warehouse: Warehouse) -> None:
    warehouse.may_read.clear()
    futures = [results.get(SALES) for _ in range(20)]
    warehouse.may_read.set()
    assert len({id(future.result(60)) for future in futures}) == 1
    assert batch(results) == 7
    assert warehouse.reads == [SALES]


def test_other_filters_are_another_result(results: Results, warehouse: Warehouse) -> None:
    batch(results)
    batch(results, EUROS)
    batch(results)
    assert warehouse.reads == [SALES, EUROS]


def test_a_batch_is_read_once_the_last_read_has_been_rested_from(results: Results, warehouse: Warehouse) -> None:
    batch(results)
    warehouse.load()
    warehouse.time = REST * warehouse.seconds - 0.1
    assert batch(results) == 7
    assert not results.refresh(SALES)
    assert warehouse.reads == [SALES]
    warehouse.time = REST * warehouse.seconds
    assert warehouse.announced.get(timeout=60) == SALES
    assert results.refresh(SALES)
    assert warehouse.announced.get(timeout=60) == SALES
    assert [batch(results), warehouse.reads] == [8, [SALES] * 2]


def test_who_comes_while_a_long_read_goes_on_gets_the_older_result_at_once(
    results: Results, warehouse: Warehouse
) -> None:
    batch(results)
    warehouse.load()
    warehouse.time = 1000
    warehouse.may_read.clear()
    assert [batch(results), batch(results)] == [7, 7]
    assert warehouse.announced.get(timeout=60) == SALES
    warehouse.may_read.set()
    assert warehouse.announced.get(timeout=60) == SALES
    assert batch(results) == 8
    assert warehouse.reads == [SALES, SALES]


def test_a_short_read_is_waited_for(results: Results, warehouse: Warehouse) -> None:
    warehouse.seconds = 0.1
    batch(results)
    warehouse.load()
    warehouse.time = 1000
    assert batch(results) == 8


def test_a_rebuilt_warehouse_is_another_state(results: Results, warehouse: Warehouse) -> None:
    warehouse.seconds = 0.1
    batch(results)
    assert warehouse.state.loaded_at is not None
    warehouse.state = replace(warehouse.state, loaded_at=warehouse.state.loaded_at + timedelta(1))
    warehouse.time = 1000
    batch(results)
    assert warehouse.reads == [SALES, SALES]


def test_what_was_read_is_shown_while_the_warehouse_cannot_be_read(results: Results, warehouse: Warehouse) -> None:
    warehouse.seconds = 0.1
    batch(results)
    warehouse.load()
    warehouse.time, warehouse.error = 1000, GONE
    assert batch(results) == 7
    assert results.problem(SALES) is GONE
    warehouse.time, warehouse.error = 2000, None
    assert batch(results) == 8
    assert results.problem(SALES) is None


def test_what_was_read_is_shown_while_the_warehouse_cannot_be_reached(results: Results, warehouse: Warehouse) -> None:
    batch(results)
    warehouse.time, warehouse.error_of_look = 1000, GONE
    assert batch(results) == 7
    assert results.problem(SALES) is GONE
    assert warehouse.reads == [SALES]


def test_a_first_read_that_fails_is_tried_again_by_the_next_viewer(results: Results, warehouse: Warehouse) -> None:
    warehouse.error = GONE
    with pytest.raises(DatabaseUnavailableError):
        batch(results)
    warehouse.error = None
    assert batch(results) == 7


def test_too_many_pages_at_once_are_refused(results: Results, warehouse: Warehouse) -> None:
    warehouse.may_read.clear()
    keys = [Key("sales", Filters(country=str(number))) for number in range(30)]
    with pytest.raises(DashboardError, match="Too many pages are being read"):
        for key in keys:
            results.get(key)
    assert results.get(keys[0])
