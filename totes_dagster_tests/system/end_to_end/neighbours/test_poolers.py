"""A connection pooler between the platform and its databases, whose sessions it shares with the application."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from totes_dagster.config.platform import Platform
from totes_dagster.errors import PoolerError
from totes_dagster.ingest.run import changed_tables
from totes_dagster.ingest.watch import watching
from totes_dagster.local.server import EmbeddedPostgres
from totes_dagster.pipeline import reconcile
from totes_dagster.postgres.database import Database
from totes_dagster.simulator.seeding import seed
from totes_dagster.warehouse.status import warehouse_status
from totes_dagster_tests.integration.commands import totes_here
from totes_dagster_tests.pgbouncer import POOL_SIZE, pooled
from totes_dagster_tests.world import NEW_DEAL, World

LEFT_BEHIND = """
    select 'setting ' || name from pg_settings
    where source = 'session' and name !~ '^(transaction_|application_name|client_encoding)'
    union all select 'transaction ' || name || ' = ' || setting from pg_settings
    where name ~ '^transaction_(isolation|read_only|deferrable|timeout)'
          and setting not in ('read committed', 'off', '0')
    union all select 'statement ' || name from pg_prepared_statements
    union all select 'lock ' || locktype from pg_locks where pid = pg_backend_pid() and locktype = 'advisory'
    union all select 'table ' || relname from pg_class where relnamespace = pg_my_temp_schema()
"""
"""What a session keeps of those who had it before."""


class Application:
    """Whoever else has the pool: the owner of the data, with the same user."""

    def __init__(self, url: str) -> None:
        self._url = url

    def write(self, *statements: str) -> None:
        """Write in every session of the pool."""
        with ExitStack() as stack:
            for session in self._sessions(stack):
                session.execute("create temporary table if not exists payment (mine int) on commit drop")
            for session in self._sessions(stack, 1):
                for statement in statements:
                    session.execute(statement)

    def finds(self) -> set[str]:
        """What others left behind in the sessions of the pool."""
        with ExitStack() as stack:
            return {left for session in self._sessions(stack) for (left,) in session.execute(LEFT_BEHIND).fetchall()}

    def _sessions(self, stack: ExitStack, count: int = POOL_SIZE - 1) -> Iterator[psycopg.Connection]:
        for _ in range(count):
            session = stack.enter_context(psycopg.connect(self._url, prepare_threshold=None))
            session.execute("select 1")  # which keeps it until the transaction ends
            yield session


@pytest.fixture
def pool(postgres: EmbeddedPostgres) -> Iterator[str]:
    with pooled(postgres) as url:
        yield url


@pytest.fixture
def shared(platform: Platform, pool: str) -> Platform:
    """A platform whose source and warehouse are behind the pooler."""
    seed(platform.source.url, orders=60)

    def behind(database: Database) -> Database:
        return Database(database.name, pool.format(conninfo_to_dict(database.url)["dbname"]))

    warehouse = replace(platform.warehouse, database=behind(platform.warehouse.database))
    return replace(platform, source=behind(platform.source), warehouse=warehouse)


def test_nobody_who_shares_a_pool_with_the_platform_feels_it(platform: Platform, shared: Platform) -> None:
    world, direct = World(shared), World(platform)
    application, analyst = Application(shared.source.url), Application(shared.warehouse.database.url)

    world.refresh()
    assert application.finds() | analyst.finds() == set()
    with watching(shared.source) as position:
        before = position()
        application.write(*NEW_DEAL)
        assert position() != before
        application.write("update payment set paid = not paid where payment_id = 3")
        assert set(changed_tables(shared.source, shared.lake.ingestion)) == {"sales_order", "transaction", "payment"}
        assert application.finds() | analyst.finds() == set()
        world.refresh()
        application.write("delete from payment where payment_id = 4")
        assert {differences.count for differences in reconcile(shared).left.values()} == {0}
        assert application.finds() | analyst.finds() == set()
    assert warehouse_status(shared.warehouse).newest.batch == world.head()
    assert direct.wrongs() == []
    assert direct.versions("fact_payment", 4) == ["live", "deleted"]


def test_a_table_of_somebody_elses_that_hides_ours_in_a_session_is_not_read(
    platform: Platform, shared: Platform, pool: str
) -> None:
    """A pooler does not drop the temporary tables of whoever had the session before."""
    with ExitStack() as stack:
        for _ in range(POOL_SIZE):
            session = stack.enter_context(psycopg.connect(shared.source.url, prepare_threshold=None))
            session.execute("create temporary table staff (staff_id int primary key)")
    world = World(shared)
    world.refresh()
    assert World(platform).wrongs() == []


def test_a_pool_that_lends_sessions_for_single_statements_is_refused_by_name(
    postgres: EmbeddedPostgres, database: Callable[..., str]
) -> None:
    with pooled(postgres, mode="statement") as pool:
        url = pool.format(conninfo_to_dict(database())["dbname"])
        with pytest.raises(PoolerError, match="pool_mode = transaction"), Database("totesys", url).transaction():
            pass


def test_a_query_of_an_analyst_goes_through_the_pool(postgres: EmbeddedPostgres, database: Callable[..., str]) -> None:
    with pooled(postgres) as pool:
        url = pool.format(conninfo_to_dict(database())["dbname"])
        told = totes_here("sql", "--csv", "select current_setting('transaction_read_only')", WAREHOUSE_READER_URL=url)
    assert told.splitlines()[1:] == ["on"]


def test_a_setting_of_the_database_does_no_harm_in_a_pooled_session(
    platform: Platform, postgres: EmbeddedPostgres
) -> None:
    seed(platform.source.url, orders=3)
    with psycopg.connect(platform.source.url, autocommit=True) as owner:
        owner.execute(
            "do $$ begin execute format('alter database %I set quote_all_identifiers = on', current_database()); end $$"
        )
    with pooled(postgres) as pool:
        url = pool.format(conninfo_to_dict(platform.source.url)["dbname"])
        World(replace(platform, source=Database("totesys", url))).refresh()
    assert World(platform).wrongs() == []


def test_options_that_a_pooler_refuses_are_no_outage(postgres: EmbeddedPostgres) -> None:
    with pooled(postgres) as pool:
        url = f"{pool.format('postgres')}&options=-c%20statement_timeout%3D9"
        with pytest.raises(PoolerError, match="does not accept options"), Database("totesys", url).connect():
            pass


def test_a_pool_with_too_few_sessions_is_named(platform: Platform, postgres: EmbeddedPostgres) -> None:
    seed(platform.source.url, orders=3)
    with pooled(postgres, pool_size=1, further="query_wait_timeout = 2") as pool:
        url = pool.format(conninfo_to_dict(platform.source.url)["dbname"])
        with pytest.raises(PoolerError, match="is too small"):
            World(replace(platform, source=Database("totesys", url))).refresh()
