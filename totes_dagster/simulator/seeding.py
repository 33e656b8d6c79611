"""Seeding a simulated source: the totesys schema in an empty database, and a company's rows in bulk.

The rows themselves belong to `company`.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import chain

import psycopg
from psycopg import sql
from sqlalchemy import Constraint, Enum, ForeignKeyConstraint, UniqueConstraint
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import AddConstraint, CreateTable, DropConstraint, ExecutableDDLElement

from totes_dagster.errors import DatabaseError
from totes_dagster.postgres.binary_copy import copy_in
from totes_dagster.schema import totesys
from totes_dagster.simulator.company import Company

_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves this one untyped


class SeedingError(DatabaseError):
    """A database cannot be seeded."""


def seed(
    url: str,
    *,
    orders: int = 5000,
    seed: int = 0,
    until: datetime | None = None,
    enforced: bool = True,
    progress: Callable[[str, int], None] | None = None,
) -> dict[str, int]:
    """Create the totesys schema in an empty database and fill it with a company's year, in one transaction.

    The same orders, seed and end give the same rows. A failure leaves the database unchanged.

    Args:
        url: libpq URI of a database without totesys tables.
        orders: number of sales orders; the other tables grow with it.
        seed: seed of all random choices.
        until: end of the history, UTC without a zone; by default, now.
        enforced: whether the source is of the newer form, which enforces all references; see `schema/totesys.py`.
        progress: called with a table's name and the number of rows just added to it.

    Returns:
        The number of rows in each table.

    Raises:
        SeedingError: the database cannot be reached, or has tables of the same names.
    """
    company = Company(orders, seed, until or datetime.now(UTC).replace(tzinfo=None))
    rows = Counter(dict.fromkeys(totesys.SOURCE_TABLES, 0))
    with _empty_source(url, enforced=enforced) as cursor:
        for name, table in chain.from_iterable(
            tables.items() for tables in chain([company.reference_tables], company.order_tables())
        ):
            # The Arrow types are the declared ones: binary COPY takes others of the same width unchecked.
            copy_in(cursor, sql.Identifier(name), table)
            rows[name] += table.num_rows
            if progress:
                progress(name, table.num_rows)
    return dict(rows)


def publish(url: str) -> None:
    """Publish the tables, as their owner does who lets changes be captured from the log, unless that was done.

    Args:
        url: libpq URI of a seeded database.
    """
    tables = sql.SQL(", ").join(map(sql.Identifier, totesys.SOURCE_TABLES))
    with psycopg.connect(url) as connection:
        if not connection.execute("select from pg_publication where pubname = %s", [totesys.PUBLICATION]).rowcount:
            create = sql.SQL("create publication {} for table {}")
            connection.execute(create.format(sql.Identifier(totesys.PUBLICATION), tables))


def create_schema(url: str, *, enforced: bool = True) -> None:
    """Create the totesys schema, without rows, in an empty database.

    Args:
        url: libpq URI of a database without totesys tables.
        enforced: whether the source is of the newer form, which enforces all references; see `schema/totesys.py`.

    Raises:
        SeedingError: the database cannot be reached, or has tables of the same names.
    """
    with _empty_source(url, enforced=enforced):
        pass


@contextmanager
def _empty_source(url: str, *, enforced: bool) -> Iterator[psycopg.Cursor]:
    """Tables to fill. Constraints are added afterwards: validating them once is many times faster than row by row."""
    try:
        with psycopg.connect(url) as connection, connection.cursor() as cursor:
            for statement in _create_tables():
                cursor.execute(str(statement.compile(dialect=_DIALECT)))
            yield cursor
            for statement in _add_constraints(enforced=enforced):
                cursor.execute(str(statement.compile(dialect=_DIALECT)))
            for name in totesys.SOURCE_TABLES:
                cursor.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(name)))
    except psycopg.Error as error:
        raise SeedingError(
            f"The simulated company could not be created, and the database is unchanged: {_reason(error)}. "
            "Use a database that can be reached, is empty, and lets this user create tables."
        ) from error


def _create_tables() -> Iterator[ExecutableDDLElement]:
    for table in totesys.metadata.sorted_tables:
        for column in table.columns:
            if isinstance(column.type, Enum):
                yield postgresql.CreateEnumType(column.type.dialect_impl(_DIALECT))
        yield CreateTable(table, include_foreign_key_constraints=[])
    for constraint in _deferred(UniqueConstraint):
        yield DropConstraint(constraint, isolate_from_table=False)


def _add_constraints(*, enforced: bool) -> Iterator[ExecutableDDLElement]:
    for constraint in _deferred(UniqueConstraint, ForeignKeyConstraint):
        if not enforced and isinstance(constraint, ForeignKeyConstraint) and totesys.is_newer(constraint):
            continue
        # Not isolated from its table: that would leave the constraint out of every later CREATE TABLE of this process.
        yield AddConstraint(constraint, isolate_from_table=False)


def _deferred(*kinds: type[Constraint]) -> list[Constraint]:
    tables = totesys.metadata.sorted_tables
    return [
        constraint
        for kind in kinds
        for table in tables
        for constraint in table.constraints
        if isinstance(constraint, kind)
    ]


def _reason(error: psycopg.Error) -> str:
    """The server's message, or the driver's."""
    return (error.diag.message_primary or str(error)).strip().rstrip(".")
