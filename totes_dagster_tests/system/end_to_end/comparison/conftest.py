"""A world that stays as it is, for everything that is damaged only for a moment."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from totes_dagster.local.server import EmbeddedPostgres
from totes_dagster.simulator.seeding import seed
from totes_dagster.simulator.simulator import Simulator
from totes_dagster_tests.system.end_to_end.comparison.comparing import OUTERMOST_KEYS, RANGE, orders
from totes_dagster_tests.system.platforms import lake_in, platform_at
from totes_dagster_tests.world import World

NINE = "generate_series(1, 9) as n"


@pytest.fixture(scope="package")
def world(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A company with orders in seven ranges of keys, whose life the warehouse has followed. Nobody may change it."""
    names = ("totesys_compared", "warehouse_compared")
    for name in names:
        assert postgres.create_database(name)
    source, warehouse = map(postgres.url, names)
    world = World(platform_at(source, warehouse, lake_in(tmp_path_factory.mktemp("lake")), 'odd "schema", %s; Ñ'))
    seed(source, orders=60)
    world.refresh()
    with Simulator(source, seed=5, harsh=True) as simulator:
        for _ in range(4):
            for _ in range(8):
                simulator.step()
            world.refresh()
    world.change(
        *(orders(str(key)) for key in OUTERMOST_KEYS),
        orders("n", f"generate_series({5 * RANGE}, {5 * RANGE + 9}) as n"),
        f"insert into address select 1000 + n, 'l', 'm', 'd', 'c', 'p', 'k', 't', now(), now() from {NINE}",
        f"insert into counterparty select 1000 + n, 'n', 1000 + n, null, null, now(), now() from {NINE}",
        "update staff set last_name = 'O''Keefe', email_address = '\"%s\\ {}' where staff_id = 1",
        "delete from payment where payment_id = 7",
        "update payment set paid = not paid where payment_id = 9",
    )
    world.refresh()
    yield world
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        for name in names:
            connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))
