"""Waiting for locks on the warehouse: how long, and who holds them.

Whoever waits for a strong lock holds up all who come after, so a wait that hinders readers is short and repeated. All
other waits are longer, and after some seconds the log says who holds the lock.
"""

import logging
import threading
from collections.abc import Iterator
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

FIRST_LOOK = 5.0
NEXT_LOOKS = 5.0

_LISTED = 3


@dataclass
class LockWatch:
    """Looks from time to time who holds the lock that a server process waits for.

    Attributes:
        blockers: those who were seen last, as a phrase; empty where nobody was.
    """

    database: Database
    pid: int
    doing: str
    blockers: str = ""
    _over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Look until told to stop. The first look comes late, so that short work costs no connection."""
        if self._over.wait(FIRST_LOOK):
            return
        try:
            with self.database.connect() as connection:
                while True:
                    self._look(connection)
                    if self._over.wait(NEXT_LOOKS):
                        return
        except TotesError as error:  # the work goes on without it
            logger.info("Cannot look for whoever might hold a lock that %s needs: %s", self.doing, error)

    def stop(self) -> None:
        """End `run` soon."""
        self._over.set()

    def _look(self, connection: psycopg.Connection[Any]) -> None:
        with transaction(connection, read_only=True):
            ((pids,),) = connection.execute("select pg_blocking_pids(%s)", [self.pid]).fetchall()
            seen = described_sessions(connection, pids) if pids else ""
        if seen and seen != self.blockers:
            logger.warning("%s waits for a lock that %s.", self.doing, seen)
        self.blockers = seen or self.blockers


@contextmanager
def watched_locks(database: Database, pid: int, doing: str) -> Iterator[LockWatch]:
    """Watch a server process for the time of the block, from a connection of its own.

    Args:
        database: where the process works.
        pid: the process.
        doing: what it does, to begin a sentence in the log.
    """
    watch = LockWatch(database, pid, doing)
    thread = threading.Thread(target=watch.run, name="lock-watch", daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        watch.stop()
        thread.join()


def holders_of_tables(connection: psycopg.Connection[Any], schema: str) -> str:
    """Who else holds a lock on a relation of a schema, as a phrase; empty where nobody does."""
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
    """Sessions that hold a lock, as a phrase that ends in "holds" or "hold".

    A role without pg_read_all_stats sees of others' sessions only who they are.
    """
    rows = connection.execute(
        """
        select pid, usename, application_name, to_char(xact_start, 'YYYY-MM-DD HH24:MI:SS') from pg_stat_activity
        where pid = any(%s) order by xact_start nulls last, pid
        """,
        [pids],
    ).fetchall()
    told = [_described(*row) for row in rows]
    if 0 in pids:
        told.append("a prepared transaction (see pg_prepared_xacts)")
    if not told:
        return "a session that has ended meanwhile held"
    if len(told) > _LISTED:
        told[_LISTED:] = [f"{len(told) - _LISTED} more"]
    return f"{' and '.join(told)} {'hold' if len(told) > 1 else 'holds'}"


def _described(pid: int, user: str | None, application: str | None, since: str | None) -> str:
    described = f"session {pid} of {user or 'an unknown user'}"
    if application:
        described += f" ({application})"
    return f"{described}, in a transaction since {since} UTC," if since else described
