"""Checksums of event tables by key range, the same for equal rows on either side, whatever the column types there.

The expressions derive from the declarations. Equal checksums mean equal rows; unequal ones only mean: look closer.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import Boolean, Column, Date, Integer, Numeric, String, Table, Time

from totes_dagster.ingest.capture import CHECKSUM_MODULUS
from totes_dagster.ingest.catalogue import as_text, qualified
from totes_dagster.ingest.snapshot import SourceSnapshot
from totes_dagster.schema.star import current_view_of, is_fact, natural_key_of, remodelled_columns
from totes_dagster.schema.totesys import SOURCE_TABLES, key_of

RANGE_BITS = 14
"""A range is the keys that are equal but for so many of their lowest bits."""


@dataclass(frozen=True)
class RangeChecksum:
    """How many rows have a key in a range, and the checksum of their values."""

    rows: int
    checksum: int


@dataclass(frozen=True)
class HashedRows:
    """Rows on one server, each with its key and a hash of its values. See `source_rows` and `warehouse_rows`.

    Attributes:
        connection: in a transaction that sees one state of the database.
        rows: what to select from.
        key: column that holds the key.
        values: hashes of the row's values, in types that both sides have.
    """

    connection: psycopg.Connection
    rows: sql.Composable
    key: sql.Identifier
    values: list[sql.Composed]

    def range_checksums(self) -> dict[int, RangeChecksum]:
        """Every range that has rows, with its checksum: one pass over the table."""
        # Without "offset 0" the planner expects as many ranges as keys, and prepares to sort or spill them all.
        statement = sql.SQL(
            """
            select range, count(*), mod(sum(hash), {modulus})::bigint
            from (select {key} >> {bits} as range, {hash} as hash from {rows} where {key} between {lowest} and {highest}
                  offset 0) as hashed
            group by range
            """
        ).format(
            key=self.key,
            bits=sql.Literal(RANGE_BITS),
            modulus=sql.Literal(CHECKSUM_MODULUS),
            hash=self._hash,
            rows=self.rows,
            # What lies outside is set aside: the warehouse's keys are integers.
            lowest=sql.Literal(-(2**31)),
            highest=sql.Literal(2**31 - 1),
        )
        return {number: RangeChecksum(rows, hash_) for number, rows, hash_ in self.connection.execute(statement)}

    def row_hashes(self, number: int) -> set[tuple[int, int]]:
        """The key and the hash of every row in one range."""
        lowest = number << RANGE_BITS
        statement = sql.SQL("select {key}, {hash} from {rows} where {key} between {lowest} and {highest}").format(
            key=self.key,
            hash=self._hash,
            rows=self.rows,
            lowest=sql.Literal(lowest),
            highest=sql.Literal(lowest + 2**RANGE_BITS - 1),
        )
        return set(self.connection.execute(statement).fetchall())

    @property
    def _hash(self) -> sql.Composed:
        # Hashed once more, for differences of two rows must not cancel out. (PostgreSQL 13 cannot hash a record.)
        return sql.SQL("hashint8extended({}, 0)").format(sql.SQL(" # ").join(self.values))


def source_rows(snapshot: SourceSnapshot, star: Table) -> HashedRows:
    """The rows of the source table that a star table has one row each for."""
    pairs = list(_pairs(star))
    source = pairs[0][1].table
    table = snapshot.catalogue.tables[source.name]
    return HashedRows(
        snapshot.connection,
        qualified(snapshot.catalogue, source.name),
        sql.Identifier(key_of(source)),
        [
            _hash_of(number, sql.Identifier(original.name), column, original, text=as_text(found))
            for number, (column, original) in enumerate(pairs)
            if (found := table.column(original.name))
        ],
    )


def warehouse_rows(connection: psycopg.Connection, schema: str, star: Table) -> HashedRows:
    """The rows that the warehouse shows of a star table now.

    Args:
        connection: in a transaction of `postgres.transactions`.
        schema: the warehouse's schema.
        star: a fact, or a dimension of an event table.
    """
    return HashedRows(
        connection,
        shown(schema, star),
        sql.Identifier(natural_key_of(star)),
        [
            _hash_of(number, sql.Identifier(column.name), column, original)
            for number, (column, original) in enumerate(_pairs(star))
        ],
    )


def shown(schema: str, star: Table) -> sql.Identifier:
    """Where the warehouse shows the current rows of a star table."""
    return sql.Identifier(schema, current_view_of(star) if is_fact(star) else star.name)


def _pairs(star: Table) -> Iterator[tuple[Column[Any], Column[Any]]]:
    """The columns of a star table, each with the one source column that its value is.

    Raises:
        TypeError: a column has several, so that its value cannot be computed by a cast.
    """
    for column in remodelled_columns(star):
        if len(column.info["sources"]) != 1:
            raise TypeError(f"{column} has several sources. Compare {star.name} whole, or extend checksums.py.")
        table, name = column.info["sources"][0].split(".")
        yield column, SOURCE_TABLES[table].columns[name]


def _hash_of(
    number: int,
    value: sql.Composable,
    column: Column[Any],
    original: Column[Any],
    *,
    text: sql.Composable | None = None,
) -> sql.Composed:
    """A 64-bit hash of a value; its place in the row is the seed, so that values cannot change places.

    Args:
        number: the place.
        value: the value.
        column: the warehouse's column.
        original: the source's.
        text: the value as text; by a cast unless given.
    """
    type_ = _common_type(column, original)
    if type_ == "text":
        value = text or sql.SQL("{}::text").format(value)
    return sql.SQL("coalesce({}, {})").format(_HASHES[type_].format(value, sql.Literal(number)), sql.Literal(number))


_HASHES = {
    "text": sql.SQL('hashtextextended(({}) collate "C", {})'),
    # Days that never come have no distance to others.
    "date": sql.SQL(
        "hashint8extended(case when isfinite({0}::date) then {0}::date - date '2000-01-01' "
        "when {0}::date > date '2000-01-01' then 2147483647 else -2147483648 end, {1})"
    ),
    "time": sql.SQL("time_hash_extended({}::time, {})"),
    "bigint": sql.SQL("hashint8extended({}::bigint, {})"),
    "numeric": sql.SQL("hash_numeric_extended({}::numeric, {})"),  # whatever the scale
    "boolean": sql.SQL("hashint8extended({}::boolean::integer, {})"),
}
"""Hashes by the type that a value is compared in; each of them exists in every supported version of PostgreSQL."""


def _common_type(column: Column[Any], original: Column[Any]) -> str:
    """The type that a value is compared in; no cast to it fails, on either side, whatever the value."""
    match column.type, original.type:
        # A text need not be a date, but a date has a text.
        case (Date(), String()) | (String(), _):
            return "text"
        case Date(), _:
            return "date"
        case Time(), _:
            return "time"
        case Integer(), _:
            return "bigint"
        case Numeric(), _:
            return "numeric"
        case Boolean(), _:
            return "boolean"
        case other, _:
            raise TypeError(f"No common type is declared for {column} of type {other!r}: add one to _common_type.")
