"""The simulator's access to the source: it reads and writes single rows, allocates keys, and avoids locked rows.

No state is kept in a session: a pooler may lend the connection to another client after each transaction. What is
written, and why, belongs to `orders` and to the modules of the actions.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg.sql import SQL, Composable, Identifier, Placeholder

from totes_dagster.schema import totesys

Row = dict[str, Any]
Connection = psycopg.Connection[Row]
Ids = Mapping[str, tuple[int, ...]]
"""Keys by table."""

# The simulator avoids rows that it has locked itself; this is for locks of other sessions.
_SET_LOCK_TIMEOUT = "SET LOCAL lock_timeout = '2s'"
ANY = SQL("true")
"""A condition that every row meets."""


@dataclass(frozen=True)
class OpenTransaction:
    """A transaction on its own connection that has written but not yet committed.

    Args:
        connection: its connection.
        description: a one-line description.
        written: keys of the rows that it has written, by table.
        locked: keys of the committed rows that it has locked, by table.
    """

    connection: Connection
    description: str
    written: Ids
    locked: Ids


def utc_now() -> datetime:
    """The current time as the source stores it: UTC without a zone, to the millisecond."""
    moment = datetime.now(UTC).replace(tzinfo=None)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


class Ledger:
    """A connection to the source, the next free keys, and the transactions held open.

    Attributes:
        connection: in autocommit mode; rows are read and written within `transaction`.
        now: the company's clock; returns UTC without a zone.
        open_transactions: those begun and not yet committed.
    """

    def __init__(self, url: str, rng: Random, clock: Callable[[], datetime] = utc_now) -> None:
        self.now = clock
        self._url = url
        self._rng = rng
        self._next: dict[str, int] = dict.fromkeys(totesys.SOURCE_TABLES, 1)
        self.open_transactions: list[OpenTransaction] = []
        self.connection = self.connect()
        self.read_keys()

    def connect(self) -> Connection:
        """A new connection, in autocommit mode."""
        return psycopg.connect(self._url, autocommit=True, prepare_threshold=None, row_factory=dict_row)

    @contextmanager
    def transaction(self) -> Iterator[psycopg.Transaction]:
        """A transaction on the ledger's connection, committed at the end of the block, rolled back if it raises."""
        with self.connection.transaction() as transaction:
            self.connection.execute(_SET_LOCK_TIMEOUT)
            yield transaction

    def begin(self) -> Connection:
        """A new connection, with a transaction that stays open."""
        connection = self.connect()
        connection.autocommit = False
        try:
            connection.execute(_SET_LOCK_TIMEOUT)
        except BaseException:
            connection.close()
            raise
        return connection

    def reconnect(self) -> None:
        """Connect again after a lost connection; the server has rolled back the open transactions."""
        for transaction in list(self.open_transactions):
            self.forget(transaction)
        with suppress(psycopg.Error):
            self.connection.close()
        self.connection = self.connect()
        self.read_keys()

    def read_keys(self) -> None:
        """Advance past the keys in the database. Allocated keys stay allocated: an open transaction may use them."""
        with self.transaction():
            for name, table in totesys.SOURCE_TABLES.items():
                query = SQL("SELECT coalesce(max({}), 0) + 1 AS next FROM {}")
                statement = query.format(Identifier(totesys.key_of(table)), Identifier(name))
                row = self.connection.execute(statement).fetchone()
                self._next[name] = max(self._next[name], row["next"] if row else 1)

    def new_key(self, table: str) -> int:
        """A key that no row has had. As with a sequence, a rolled-back transaction leaves a gap."""
        self._next[table] += 1
        return self._next[table] - 1

    def pick(self, table: str, condition: Composable = ANY, values: Row | None = None) -> Row | None:
        """A random committed row that meets a condition; None if there is none.

        Rows that an open transaction has changed are left out, so that nothing waits for one. The random value is the
        key to start at: an ordered read of the primary key stays fast at any size.
        """
        for start in (self._rng.randint(1, max(1, self._next[table] - 1)), 1):
            rows = self.rows(table, 1, condition, {**(values or {}), "start": start})
            if rows:
                return rows[0]
        return None

    def rows(self, table: str, limit: int | None, condition: Composable = ANY, values: Row | None = None) -> list[Row]:
        """Committed rows in the order of their keys, except for those that open transactions have locked.

        Args:
            table: name of the table.
            limit: the largest number of rows; None for all.
            condition: what the rows must meet.
            values: parameters of the condition, by name; `start` is the lowest key, by default 1.
        """
        query = SQL(
            "SELECT * FROM {table} WHERE {key} >= %(start)s AND {key} <> ALL(%(locked)s) AND {condition} "
            "ORDER BY {key} LIMIT %(limit)s"
        ).format(table=Identifier(table), key=_key(table), condition=condition)
        locked = list(self._locked()[table])
        return self.connection.execute(
            query, {"start": 1, "locked": locked, "limit": limit} | (values or {})
        ).fetchall()

    def delete_rule(self, table: str, column: str) -> str | None:
        """The deletion action of a foreign key, as `pg_constraint.confdeltype`; None if there is no foreign key."""
        query = """
            SELECT confdeltype::text AS rule FROM pg_constraint
            WHERE contype = 'f' AND conrelid = to_regclass(quote_ident(%(table)s)) AND conkey = ARRAY(
                SELECT attnum FROM pg_attribute WHERE attrelid = conrelid AND attname = %(column)s)
        """
        row = self.connection.execute(query, {"table": table, "column": column}).fetchone()
        return row["rule"] if row else None

    def forget(self, transaction: OpenTransaction) -> None:
        """Close an open transaction's connection, and no longer avoid its rows."""
        self.open_transactions.remove(transaction)
        with suppress(psycopg.Error):
            transaction.connection.close()

    def _locked(self) -> Mapping[str, set[int]]:
        locked = defaultdict[str, set[int]](set)
        for transaction in self.open_transactions:
            for table, keys in transaction.locked.items():
                locked[table].update(keys)
        return locked


def insert(connection: Connection, table: str, row: Row) -> None:
    """Insert one row."""
    statement = SQL("INSERT INTO {} ({}) VALUES ({})").format(
        Identifier(table), SQL(", ").join(map(Identifier, row)), SQL(", ").join(map(Placeholder, row))
    )
    connection.execute(statement, row)


def update(connection: Connection, table: str, keys: int | list[int], changes: Row) -> None:
    """Change columns of the rows with these keys, in one statement."""
    statement = SQL("UPDATE {} SET {} WHERE {} = ANY({})").format(
        Identifier(table),
        SQL(", ").join(SQL("{} = {}").format(Identifier(name), Placeholder(name)) for name in changes),
        _key(table),
        Placeholder("keys of the rows"),
    )
    connection.execute(statement, {**changes, "keys of the rows": keys if isinstance(keys, list) else [keys]})


def delete(connection: Connection, table: str, key: int) -> None:
    """Delete one row."""
    connection.execute(SQL("DELETE FROM {} WHERE {} = %s").format(Identifier(table), _key(table)), [key])


def _key(table: str) -> Identifier:
    return Identifier(totesys.key_of(totesys.SOURCE_TABLES[table]))
