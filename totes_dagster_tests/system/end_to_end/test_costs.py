"""What a refresh asks of the databases and of the lake grows with the change, not with what is there."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import obstore
import psycopg
import pytest

from totes_dagster.pipeline import ingest, load, rebuild
from totes_dagster_tests.world import NEW_DEAL, World

pytestmark = pytest.mark.slow

SOME_ORDERS = "update sales_order set units_sold = units_sold + 1 where sales_order_id between {} and {}"


@dataclass
class Costs:
    """What was asked of both databases and of the lake.

    Attributes:
        statements: how many statements, by their first word; copies of rows too.
        requests: how many requests for objects, by method.
        created: bytes of the objects that were created.
    """

    statements: Counter[str] = field(default_factory=Counter)
    requests: Counter[str] = field(default_factory=Counter)
    created: int = 0


@contextmanager
def counted() -> Iterator[Costs]:
    """Count what is asked in the block, by psycopg and obstore."""
    costs = Costs()
    with pytest.MonkeyPatch.context() as patch:
        execute, copy = psycopg.Cursor.execute, psycopg.Cursor.copy

        def executed(cursor: psycopg.Cursor, query: Any, *arguments: Any, **options: Any) -> psycopg.Cursor:
            text = query if isinstance(query, str) else query.as_string(None)
            costs.statements[text.split()[0].lower()] += 1
            return execute(cursor, query, *arguments, **options)

        def copied(cursor: psycopg.Cursor, *arguments: Any, **options: Any) -> Any:
            costs.statements["copy"] += 1
            return copy(cursor, *arguments, **options)

        def asking(method: str) -> Any:
            original = getattr(obstore, method)

            def asked(store: Any, *arguments: Any, **options: Any) -> Any:
                costs.requests[method] += 1
                if method == "put":
                    costs.created += len(arguments[1])
                return original(store, *arguments, **options)

            return asked

        patch.setattr(psycopg.Cursor, "execute", executed)
        patch.setattr(psycopg.Cursor, "copy", copied)
        for method in ("get", "head", "list", "put"):
            patch.setattr(obstore, method, asking(method))
        yield costs


def refreshed(world: World, *changes: str) -> Costs:
    """What a refresh costs after these changes, once nothing is left of others, and the process has done it before."""
    world.change("update staff set first_name = first_name || '.' where staff_id = 1")
    world.refresh()
    assert world.has_arrived()
    if changes:
        world.change(*changes)
    with counted() as costs:
        world.refresh()
    return costs


def test_a_refresh_after_many_batches_costs_what_it_cost_after_a_few(company: World) -> None:
    change = SOME_ORDERS.format(1, 3)
    few, head = refreshed(company, change), company.head()
    for _ in range(12):
        refreshed(company, SOME_ORDERS.format(4, 6))
    many = refreshed(company, change)
    assert company.head() > head + 12
    assert (many.statements, many.requests) == (few.statements, few.requests)


def test_more_rows_are_more_bytes_and_neither_statements_nor_requests(company: World) -> None:
    one, hundred = (refreshed(company, SOME_ORDERS.format(1, last)) for last in (1, 100))
    assert (hundred.statements, hundred.requests) == (one.statements, one.requests)
    assert one.created < hundred.created < one.created + 100 * 200


def test_a_refresh_with_nothing_to_do_creates_nothing_and_asks_little(company: World) -> None:
    idle = refreshed(company)
    assert idle.requests["put"] == idle.requests["list"] == idle.created == 0
    assert sum(idle.statements.values()) <= 40
    assert sum(idle.requests.values()) <= 60


def test_waiting_batches_share_the_transaction_of_their_load(company: World) -> None:
    platform = company.platform
    for number in range(1, 21):
        company.change(SOME_ORDERS.format(number, number), *(NEW_DEAL if number == 1 else ()))
        ingest(platform.source, platform.lake.ingestion)
    with counted() as costs:
        loaded = load(platform.warehouse, platform.lake)
    assert len(loaded) == 20
    assert costs.statements["begin"] <= 5
    assert sum(costs.statements.values()) <= 20 * 15
    times = "select count(distinct xmin::text) from load_history where batch > %s"
    assert company.ask_one(times, loaded[0].batch - 1) == 1
    assert company.wrongs(strict=True) == []


def test_a_rebuild_asks_no_more_for_each_batch_than_a_load(company: World) -> None:
    for number in range(1, 21):
        refreshed(company, SOME_ORDERS.format(number, number))
    with counted() as costs:
        batches = len(rebuild(company.platform))
    assert costs.statements["begin"] <= 10
    assert sum(costs.statements.values()) <= batches * 15 + 150
    assert company.wrongs() == []
