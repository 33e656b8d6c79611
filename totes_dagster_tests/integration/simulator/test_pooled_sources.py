"""A source behind a connection pooler, whose sessions the simulator and a measurement share with the application."""

from collections.abc import Iterator
from contextlib import ExitStack

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from totes_dagster.latency.mark import MeasurementInProgressError, marking
from totes_dagster.local.server import EmbeddedPostgres
from totes_dagster.postgres.database import Database
from totes_dagster.simulator.simulator import Action, Simulator
from totes_dagster_tests.pgbouncer import pooled
from totes_dagster_tests.source import RULES, broken, contents

LEFT_BEHIND = """
    select 'setting ' || name from pg_settings where name ~ '_timeout$' and setting <> '0' and source = 'session'
    union all select 'statement ' || name from pg_prepared_statements
    union all select 'lock' from pg_locks where pid = pg_backend_pid() and locktype = 'advisory'"""
SESSIONS = 5


@pytest.fixture
def pool(postgres: EmbeddedPostgres, older_source: str) -> Iterator[str]:
    """The older source, behind a pooler with a few sessions."""
    with pooled(postgres, pool_size=SESSIONS) as url:
        yield url.format(conninfo_to_dict(older_source)["dbname"])


def left_behind(pool: str, *, busy: int = 0) -> set[str]:
    """What is left in the sessions of a pool, but for those that are busy with an open transaction."""
    with ExitStack() as stack:
        found: set[str] = set()
        for _ in range(SESSIONS - busy):
            session = stack.enter_context(psycopg.connect(pool, prepare_threshold=None))
            found |= {left for (left,) in session.execute(LEFT_BEHIND).fetchall()}
        return found


def test_the_simulator_leaves_nothing_in_the_sessions_that_it_shares(older_source: str, pool: str) -> None:
    with Simulator(pool, seed=5, harsh=True) as simulator:
        for _ in range(150):
            simulator.step()
    assert left_behind(pool) == set()
    assert broken(older_source, RULES) == {}


def test_open_transactions_keep_their_sessions_and_nothing_else(older_source: str, pool: str) -> None:
    with Simulator(pool, seed=5) as simulator:
        opened = [simulator.perform(Action.TRANSACTION_OPENED) for _ in range(3)]
        assert left_behind(pool, busy=3) == set()
        for _ in range(20):
            simulator.perform(Action.ORDER_EDITED)
    payments = contents(older_source)["payment"]
    assert all(max(event.ids["payment"]) in payments for event in opened)


def test_a_measurement_leaves_nothing_in_the_sessions_that_it_shares(older_source: str, pool: str) -> None:
    before, source = contents(older_source), Database("totesys", pool)
    with marking(source) as mark:
        for number in range(10):
            mark.put(number)
        assert left_behind(pool, busy=1) == set()
        with pytest.raises(MeasurementInProgressError), marking(source):
            pass
    assert left_behind(pool) == set()
    assert contents(older_source) == before
