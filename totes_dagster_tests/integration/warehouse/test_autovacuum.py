"""An autovacuum of a fact gives way to a bulk load and to a migration."""

from collections.abc import Iterator

import psycopg
import pytest

from totes_dagster.config.platform import Warehouse
from totes_dagster.local.server import EmbeddedPostgres
from totes_dagster.postgres.database import Database
from totes_dagster.warehouse import migrations
from totes_dagster.warehouse.bulk_load import SetAside, set_aside_where_it_pays
from totes_dagster.warehouse.migrations import HEAD, migrate, revision_of
from totes_dagster_tests.integration.commands import wait_for
from totes_dagster_tests.integration.warehouse.migrations.conftest import create_earlier
from totes_dagster_tests.servers import FAST_SETTINGS, server_folder
from totes_dagster_tests.unit.warehouses import NewWarehouse

AT_WORK = """
    select from pg_stat_activity
    where datname = current_database() and backend_type = 'autovacuum worker' and query ~ 'fact_payment'
"""

SLOWLY = """
    alter table fact_payment set (autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0,
        autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1)
"""
"""Makes a vacuum of a few pages last for minutes."""


@pytest.fixture(scope="module")
def eager() -> Iterator[EmbeddedPostgres]:
    """A server that looks for tables to vacuum each second."""
    with server_folder() as folder, EmbeddedPostgres(folder, {**FAST_SETTINGS, "autovacuum_naptime": "1s"}) as server:
        yield server


def new_database(server: EmbeddedPostgres, name: str) -> Database:
    server.create_database(name)
    return Database("warehouse", server.url(name))


def vacuumed(database: Database) -> None:
    """Have autovacuum at work on a fact of the database."""
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute(SLOWLY)
        connection.execute("set session_replication_role = replica")
        connection.execute(
            "insert into fact_payment (payment_record_id, payment_id, created_date, created_time, last_updated_date, "
            "last_updated_time, transaction_id, counterparty_id, payment_amount, currency_id, payment_type_id, paid, "
            "payment_date, batch) select n, n, '2024-01-01', '00:00', '2024-01-01', '00:00', 1, 1, 1, 1, 1, true, "
            "'2024-01-01', 1 from generate_series(1, 20000) as n"
        )
        connection.execute("delete from fact_payment")
        wait_for(lambda: connection.execute(AT_WORK).rowcount == 1)


def test_a_bulk_load_sets_foreign_keys_aside_while_autovacuum_is_at_work(eager: EmbeddedPostgres) -> None:
    warehouse = NewWarehouse(new_database(eager, "bulk_load"), "public")
    warehouse.create()
    vacuumed(warehouse.database)
    with warehouse.begin() as transaction:
        assert set_aside_where_it_pays(transaction, {"fact_payment": 10_000}) is SetAside.SOMETHING


def test_a_migration_goes_through_while_autovacuum_is_at_work(
    eager: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = new_database(eager, "migration")
    create_earlier(database)
    vacuumed(database)
    monkeypatch.setattr(migrations, "PATIENCE", 0.0)
    assert migrate(Warehouse(database, "public")) == "0002"
    assert revision_of(Warehouse(database, "public")) == HEAD
