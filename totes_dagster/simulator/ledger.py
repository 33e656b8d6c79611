"""The simulator's hands: rows of the source read and written one by one, keys given out, rows left alone.

Nothing is left in a session: a pooler may lend the connection to somebody else after each transaction. What is written,
and why, belongs to `orders` and to the modules of the actions.
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

# The simulator leaves rows alone that it has locked itself; this is for what somebody else holds.
_SET_LOCK_TIMEOUT = "SET LOCAL lock_timeout = '2s'"
ANY = SQL("true")
"""The condition that every row meets."""


@dataclass(frozen=True)
class OpenTransaction:
    """A transaction on a connection of its own that has written and not yet committed."""

    connection: Connection
    description: str
    written: Ids
    locked: Ids


def utc_now() -> datetime:
    """The present moment as the source keeps it: UTC without a zone, to the millisecond."""
    moment = datetime.now(UTC).replace(tzinfo=None)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


class Ledger:
    """The source as the simulator sees it: a connection, the next free keys, and the transactions held open.

    Attributes:
        connection: in autocommit mode; everything but `transaction` works within one.
        now: the clock of the company.
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
        """A further connection, in autocommit mode."""
        return psycopg.connect(self._url, autocommit=True, prepare_threshold=None, row_factory=dict_row)

    @contextmanager
    def transaction(self) -> Iterator[psycopg.Transaction]:
        """A transaction on the ledger's connection, committed at the end of the block, rolled back if it raises."""
        with self.connection.transaction() as transaction:
            self.connection.execute(_SET_LOCK_TIMEOUT)
            yield transaction

    def begin(self) -> Connection:
        """A further connection, with a transaction that stays open."""
        connection = self.connect()
        connection.autocommit = False
        try:
            connection.execute(_SET_LOCK_TIMEOUT)
        except BaseException:
            connection.close()
            raise
        return connection

    def reconnect(self) -> None:
        """Start anew after a lost connection; the server has rolled back what was open."""
        for transaction in list(self.open_transactions):
            self.forget(transaction)
        with suppress(psycopg.Error):
            self.connection.close()
        self.connection = self.connect()
        self.read_keys()

    def read_keys(self) -> None:
        """Move on past the keys in the database. Those given out already stay so: an open transaction may use them."""
        with self.transaction():
            for name, table in totesys.SOURCE_TABLES.items():
                query = SQL("SELECT coalesce(max({}), 0) + 1 AS next FROM {}")
                statement = query.format(Identifier(totesys.key_of(table)), Identifier(name))
                row = self.connection.execute(statement).fetchone()
                self._next[name] = max(self._next[name], row["next"] if row else 1)

    def new_key(self, table: str) -> int:
        """A key that no row has had, as from a sequence: a rolled-back transaction leaves a gap."""
        self._next[table] += 1
        return self._next[table] - 1

    def pick(self, table: str, condition: Composable = ANY, values: Row | None = None) -> Row | None:
        """A committed row drawn at random, or None.

        Rows that an open transaction has changed are left out, so that nothing ever waits for one. The draw is of a
        key to start looking at: reading on by the primary key stays quick at any size.
        """
        for start in (self._rng.randint(1, max(1, self._next[table] - 1)), 1):
            rows = self.rows(table, 1, condition, {**(values or {}), "start": start})
            if rows:
                return rows[0]
        return None

    def rows(self, table: str, limit: int | None, condition: Composable = ANY, values: Row | None = None) -> list[Row]:
        """Committed rows by key, from the value `start` on, but for those that are locked; at most `limit`, if any."""
        query = SQL(
            "SELECT * FROM {table} WHERE {key} >= %(start)s AND {key} <> ALL(%(locked)s) AND {condition} "
            "ORDER BY {key} LIMIT %(limit)s"
        ).format(table=Identifier(table), key=_key(table), condition=condition)
        locked = list(self._locked()[table])
        return self.connection.execute(
            query, {"start": 1, "locked": locked, "limit": limit} | (values or {})
        ).fetchall()

    def delete_rule(self, table: str, column: str) -> str | None:
        """What happens to a reference whose target is deleted, as `pg_constraint.confdeltype`; None if not enforced."""
        query = """
            SELECT confdeltype::text AS rule FROM pg_constraint
            WHERE contype = 'f' AND conrelid = to_regclass(quote_ident(%(table)s)) AND conkey = ARRAY(
                SELECT attnum FROM pg_attribute WHERE attrelid = conrelid AND attname = %(column)s)
        """
        row = self.connection.execute(query, {"table": table, "column": column}).fetchone()
        return row["rule"] if row else None

    def forget(self, transaction: OpenTransaction) -> None:
        """Close an open transaction's connection; its rows are anybody's again."""
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
