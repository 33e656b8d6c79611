"""A transaction on the warehouse that holds the load lock, and the named errors that its failures become.

The steps of a load are in `load_transaction.py`.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from typing import Any, Self

import psycopg
import pyarrow as pa
from psycopg import sql
from psycopg.errors import LockNotAvailable, ObjectNotInPrerequisiteState
from sqlalchemy import Table

from totes_dagster.config.platform import Warehouse
from totes_dagster.errors import DatabaseBusyError, DatabaseError, ReplicaIdentityError
from totes_dagster.postgres.binary_copy import copy_in
from totes_dagster.postgres.database import NamedConnection
from totes_dagster.postgres.lock_waits import LONG_WAIT, LockWatch, watched_locks
from totes_dagster.postgres.named_errors import named_error
from totes_dagster.postgres.transactions import begin_statement, transaction
from totes_dagster.schema.registry import metadata
from totes_dagster.warehouse.queries import NewestLoad, newest_load_statement


class WarehouseTransaction:
    """A transaction on the warehouse that holds the load lock.

    Its search path contains only PostgreSQL's own functions and operators, so tables are qualified by their schema.
    """

    def __init__(self, connection: NamedConnection, schema: str) -> None:
        self._connection = connection
        self.schema = schema
        # Not the connection's own kind, whose errors would be named before this module names them.
        self._cursor = psycopg.Cursor(connection)

    @classmethod
    @contextmanager
    def begin(cls, connection: NamedConnection, warehouse: Warehouse) -> Iterator[Self]:
        """Begin a transaction and wait until no other load is in progress; roll back at the end unless committed.

        While it waits for a lock, a second connection looks up which session holds it, for the log.

        Args:
            connection: to the warehouse's database.
            warehouse: the warehouse.

        Raises:
            DatabaseBusyError: another session held a lock for too long; transient.
            ReplicaIdentityError: a published table has no replica identity.
            DatabaseError: the warehouse refuses a statement, or the connection is lost.
        """
        schema = warehouse.schema
        with ExitStack() as stack:
            watch: LockWatch | None = None
            try:
                load = cls(connection, schema)
                try:
                    begin: sql.Composed = begin_statement(connection.info.server_version)
                    load.execute(begin)
                    load.wait_for_locks(LONG_WAIT)
                    watch = stack.enter_context(
                        watched_locks(warehouse.database, connection.info.backend_pid, "Loading the warehouse")
                    )
                    load.fetch(
                        sql.SQL("select pg_advisory_xact_lock(hashtextextended({}, 0))").format(
                            sql.Literal(f"totes_dagster.load.{schema}")
                        )
                    )
                    yield load
                finally:
                    with suppress(psycopg.Error):  # the connection is lost; the earlier error counts
                        connection.rollback()
            except psycopg.Error as error:
                raise _load_error(connection, schema, error, watch.blockers if watch else "") from error

    def commit(self) -> None:
        """Commit: all of the transaction's work becomes visible at once."""
        self._connection.commit()

    def savepoint(self) -> AbstractContextManager[psycopg.Transaction]:
        """A block that is undone as a whole if it raises, settings included; the transaction goes on."""
        return self._connection.transaction()

    def wait_for_locks(self, limit: str) -> None:
        """Limit the transaction's further waits for a lock to this time, in PostgreSQL's notation, such as `5s`."""
        self.execute(sql.SQL("set local lock_timeout = {}").format(sql.Literal(limit)))

    def name_of(self, table: Table) -> sql.Identifier:
        """The name of a table of the warehouse, qualified by its schema."""
        return sql.Identifier(self.schema, table.name)

    def fetch(self, statement: str | sql.SQL | sql.Composed) -> tuple[Any, ...]:
        """Run a statement that returns one row, and return that row.

        Values are composed into it, not passed beside it: that would give a meaning to each % in a name.
        """
        row = self._cursor.execute(statement).fetchone()
        if row is None:
            raise LookupError(f"No row from {statement if isinstance(statement, str) else statement.as_string(None)}")
        return row

    def fetch_all(self, statement: sql.Composed) -> list[tuple[Any, ...]]:
        """Run a statement and return all its rows."""
        return self._cursor.execute(statement).fetchall()

    def execute(self, statement: str | sql.SQL | sql.Composed) -> int:
        """Run a statement that returns no rows; return the number of rows that it affected."""
        return self._cursor.execute(statement).rowcount

    def newest_load(self) -> NewestLoad:
        """The newest loaded batch."""
        statement: sql.Composed = newest_load_statement(self.schema)
        row = self._cursor.execute(statement).fetchone()
        return NewestLoad() if row is None else NewestLoad(*row)

    def create_temporary(self, name: sql.Identifier, like: sql.Composable, columns: sql.Composable) -> None:
        """Create an empty temporary table with columns of another, or empty it if the transaction has it already."""
        if self.fetch(sql.SQL("select to_regclass({}) is not null").format(sql.Literal(name.as_string(None))))[0]:
            self.execute(sql.SQL("truncate {}").format(name))
            return
        self.execute(
            sql.SQL("create temporary table {} on commit drop as select {} from {} with no data").format(
                name, columns, like
            )
        )

    def ingest(self, table: str, rows: pa.Table, *, temporary: bool) -> int:
        """Copy rows into a table; return how many."""
        return copy_in(self._cursor, sql.Identifier("pg_temp" if temporary else self.schema, table), rows)


def _load_error(connection: NamedConnection, schema: str, error: psycopg.Error, blockers: str) -> DatabaseError:
    """The named error for a failed load, which has been rolled back."""
    if error.sqlstate == LockNotAvailable.sqlstate:
        return DatabaseBusyError(
            f"Loading the warehouse failed: {blockers or 'another session holds'} a lock that it needs, and still did "
            f"after {LONG_WAIT}. Try again when that session has ended, or end it with pg_terminate_backend.",
            sqlstate=error.sqlstate,
        )
    if error.sqlstate == ObjectNotInPrerequisiteState.sqlstate and (tables := _without_identity(connection, schema)):
        return ReplicaIdentityError(
            f"Loading the warehouse failed: rows cannot be changed in {', '.join(tables)}, which a publication "
            "includes, because the table has no replica identity. Run alter table … replica identity default, or full "
            "if it has no primary key; or remove it from the publication.",
            sqlstate=error.sqlstate,
        )
    return named_error("warehouse", "loading the warehouse", error)


def _without_identity(connection: NamedConnection, schema: str) -> list[str]:
    """The warehouse's tables without a replica identity."""
    statement = sql.SQL(
        """
        select relname::text from pg_class
        where relnamespace = to_regnamespace({}) and relname = any ({}) and relkind in ('r', 'p')
          and case relreplident when 'f' then false when 'n' then true
              else not exists (select from pg_index where indrelid = pg_class.oid and indisvalid
                               and case relreplident when 'd' then indisprimary else indisreplident end) end
        order by relname
        """
    ).format(sql.Literal(sql.Identifier(schema).as_string(None)), sql.Literal(list(metadata.tables)))
    with suppress(DatabaseError, psycopg.Error), transaction(connection, read_only=True):
        return [name for (name,) in connection.execute(statement)]
    return []
