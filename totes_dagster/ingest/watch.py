"""Watching the source for commits, without reading its tables."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from totes_dagster.postgres.database import Database
from totes_dagster.postgres.transactions import transaction


@contextmanager
def watching(source: Database) -> Iterator[Callable[[], str]]:
    """Connect to the source, to watch it for commits.

    Yields:
        A function that returns the current position of the source's cluster. While it returns the same value, no
        transaction has committed.

    Raises:
        DatabaseError: the source cannot be reached, refuses, or closes the connection.
    """
    with source.connect() as connection:

        def position() -> str:
            with transaction(connection, read_only=True):
                # A standby's snapshot does not list running transactions, so their commits may not change it. The
                # position that it has replayed does change with every commit.
                ((at,),) = connection.execute(
                    "select concat_ws(':', (select system_identifier from pg_control_system()), pg_current_snapshot(), "
                    "case when pg_is_in_recovery() then pg_last_wal_replay_lsn() end)"
                ).fetchall()
            return str(at)

        yield position
