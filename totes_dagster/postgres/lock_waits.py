"""Waiting for locks on the warehouse: how long to wait, and which sessions hold them.

A session that waits for a strong lock blocks all sessions that queue behind it, so a wait that blocks readers is short
and repeated. All other waits are longer, and after some seconds the log names the sessions that hold the lock.

Autovacuum gives way, but only to a session that has waited for `deadlock_timeout`, which is longer than a short wait.
So whoever needs a strong lock first takes one that blocks autovacuum and no reader or writer.
"""

import logging
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import sql

from totes_dagster.errors import TotesError
from totes_dagster.postgres.database import Database
from totes_dagster.postgres.transactions import transaction

logger = logging.getLogger(__name__)

SHORT_WAIT = "300ms"
"""How long to wait for a lock while readers queue behind the wait."""

LONG_WAIT = "5min"
"""How long to wait for a lock otherwise."""

WAIT_UNTIL_AUTOVACUUM_GIVES_WAY = sql.SQL(
    "select set_config('lock_timeout', least(setting::bigint + 2000, 60000)::text, true) from pg_settings "
    "where name = 'deadlock_timeout'"
)
"""Limits how long the transaction waits for a lock to a little more than an autovacuum takes to give way."""

FIRST_LOOK = 5.0
"""Seconds until the first check for blocking sessions."""

NEXT_LOOKS = 5.0
"""Seconds between two later checks."""

_MAX_LISTED = 3


def lock_against_vacuum(tables: Iterable[sql.Composable]) -> sql.Composed:
    """A statement that keeps vacuums away from tables until the transaction ends; readers and writers proceed.

    Args:
        tables: their names, always in the same order, so that two sessions do not wait for each other.
    """
    return sql.SQL("lock table {} in share update exclusive mode").format(sql.SQL(", ").join(tables))


@dataclass
class LockWatch:
    """Checks at intervals which sessions hold a lock that a server process waits for.

    Attributes:
        database: the database that the process is connected to.
        pid: process id on the server.
        operation: what the process does, as the beginning of a sentence.
        blockers: the blocking sessions found last, as a phrase; empty if none were found.
    """

    database: Database
    pid: int
    operation: str
    blockers: str = ""
    _stopped: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Check until `stop` is called. The first check comes late, so short operations need no extra connection."""
        if self._stopped.wait(FIRST_LOOK):
            return
        try:
            with self.database.connect() as connection:
                while True:
                    self._check(connection)
                    if self._stopped.wait(NEXT_LOOKS):
                        return
        except TotesError as error:  # the operation continues without this
            logger.info("%s: cannot check which session holds a lock: %s", self.operation, error)

    def stop(self) -> None:
        """Make `run` return soon."""
        self._stopped.set()

    def _check(self, connection: psycopg.Connection[Any]) -> None:
        with transaction(connection, read_only=True):
            ((pids,),) = connection.execute("select pg_blocking_pids(%s)", [self.pid]).fetchall()
            found = described_sessions(connection, pids) if pids else ""
        if found and found != self.blockers:
            logger.warning("%s waits for a lock that %s.", self.operation, found)
        self.blockers = found or self.blockers


@contextmanager
def watched_locks(database: Database, pid: int, operation: str) -> Iterator[LockWatch]:
    """Watch a server process for the duration of the block, from another connection.

    Args:
        database: the database that the process is connected to.
        pid: process id on the server.
        operation: what the process does, as the beginning of a sentence in the log.
    """
    watch = LockWatch(database, pid, operation)
    thread = threading.Thread(target=watch.run, name="lock-watch", daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        watch.stop()
        thread.join()


def holders_of_tables(connection: psycopg.Connection[Any], schema: str) -> str:
    """The other sessions that hold a lock on a relation of a schema, as a phrase; empty if there are none."""
    ((pids,),) = connection.execute(
        """
        select coalesce(array_agg(distinct coalesce(pid, 0)), '{}')
        from pg_locks join pg_class on pg_class.oid = relation
        where granted and locktype = 'relation' and pid is distinct from pg_backend_pid()
          and pg_locks.database = (select oid from pg_database where datname = current_database())
          and relnamespace = to_regnamespace(%s)
        """,
        [sql.Identifier(schema).as_string(connection)],
    ).fetchall()
    return described_sessions(connection, pids) if pids else ""


def described_sessions(connection: psycopg.Connection[Any], pids: list[int]) -> str:
    """Sessions that hold a lock, as a phrase that ends in "holds", "hold" or "held".

    Of other users' sessions, a role without pg_read_all_stats sees only the user name.

    Args:
        connection: in a transaction of `postgres.transactions`.
        pids: process ids of the sessions; 0 stands for prepared transactions.
    """
    rows = connection.execute(
        """
        select pid, usename, application_name, to_char(xact_start, 'YYYY-MM-DD HH24:MI:SS') from pg_stat_activity
        where pid = any(%s) order by xact_start nulls last, pid
        """,
        [pids],
    ).fetchall()
    sessions = [_described(*row) for row in rows]
    if 0 in pids:
        sessions.append("a prepared transaction (see pg_prepared_xacts)")
    if not sessions:
        return "a session that has since ended held"
    if len(sessions) > _MAX_LISTED:
        sessions[_MAX_LISTED:] = [f"{len(sessions) - _MAX_LISTED} more"]
    return f"{' and '.join(sessions)} {'hold' if len(sessions) > 1 else 'holds'}"


def _described(pid: int, user: str | None, application: str | None, since: str | None) -> str:
    described = f"session {pid} of {user or 'an unknown user'}"
    if application:
        described += f" ({application})"
    return f"{described}, in a transaction since {since} UTC," if since else described
