"""Watching the source for commits, without reading any table."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from totes_dagster.postgres.database import Database
from totes_dagster.postgres.transactions import transaction


@contextmanager
def watching(source: Database) -> Iterator[Callable[[], str]]:
    """How far the source's cluster has come, whenever asked: as long as that is the same, nobody has committed."""
    with source.connect() as connection:

        def position() -> str:
            with transaction(connection, read_only=True):
                # A standby does not list the transactions that are still running, so that a commit of one of them
                # leaves its snapshot as it is. What it has replayed moves on with each commit.
                ((at,),) = connection.execute(
                    "select concat_ws(':', (select system_identifier from pg_control_system()), pg_current_snapshot(), "
                    "case when pg_is_in_recovery() then pg_last_wal_replay_lsn() end)"
                ).fetchall()
            return str(at)

        yield position
