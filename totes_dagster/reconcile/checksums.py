"""Checksums of event tables by key range, which are the same on both sides if the rows are, whatever the column types.

The expressions derive from the declarations. Equal checksums mean equal rows. If checksums differ, the rows may still
be equal, and have to be compared (see `compare.py`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import Boolean, Column, Date, Integer, Numeric, String, Table, Time

from totes_dagster.ingest.catalogue import as_text, qualified
from totes_dagster.lake.key_ranges import CHECKSUM_MODULUS
from totes_dagster.lake.source_catalogue import Catalogue
from totes_dagster.schema.star import current_view_of, is_fact, natural_key_of, remodelled_columns
from totes_dagster.schema.totesys import SOURCE_TABLES, key_of

RANGE_BITS = 14
"""A range consists of the keys that differ only in this many of their lowest bits."""


_LOWEST, _HIGHEST = -(2**31), 2**31 - 1
"""Rows with other keys are in quarantine: the warehouse's keys are integers."""


@dataclass(frozen=True)
class RangeChecksum:
    """The number of rows with a key in a range, and the checksum of their values."""

    rows: int
    checksum: int


@dataclass(frozen=True)
class HashedRows:
    """Rows on one server, each with its key and a hash of its values. See `source_rows` and `warehouse_rows`.

    Attributes:
        connection: in a transaction that sees one state of the database.
        relation: table or view to select from.
        key: column with the key.
        values: hashes of the row's values, computed in types that are the same on both sides.
    """

    connection: psycopg.Connection
    relation: sql.Composable
    key: sql.Identifier
    values: list[sql.Composed]

    def key_bounds(self) -> tuple[int, int] | None:
        """The lowest and the highest key; None if there are no rows."""
        statement = sql.SQL("select min({key}), max({key}) from {relation} where {key} between {lowest} and {highest}")
        ((lowest, highest),) = self.connection.execute(
            statement.format(
                key=self.key, relation=self.relation, lowest=sql.Literal(_LOWEST), highest=sql.Literal(_HIGHEST)
            )
        ).fetchall()
        return None if lowest is None else (lowest, highest)

    def range_checksums(self, lowest: int = _LOWEST, highest: int = _HIGHEST) -> dict[int, RangeChecksum]:
        """The checksums of all ranges that have rows, from one pass over the table.

        Args:
            lowest: the first key to look at.
            highest: the last one.
        """
        # Without "offset 0" the planner expects as many ranges as keys, and plans to sort or spill them all.
        statement = sql.SQL(
            """
            select range, count(*), mod(sum(hash), {modulus})::bigint
            from (select {key} >> {bits} as range, {hash} as hash from {relation}
                  where {key} between {lowest} and {highest} offset 0) as hashed
            group by range
            """
        ).format(
            key=self.key,
            bits=sql.Literal(RANGE_BITS),
            modulus=sql.Literal(CHECKSUM_MODULUS),
            hash=self._hash,
            relation=self.relation,
            lowest=sql.Literal(lowest),
            highest=sql.Literal(highest),
        )
        return {number: RangeChecksum(rows, hash_) for number, rows, hash_ in self.connection.execute(statement)}

    def row_hashes(self, number: int) -> set[tuple[int, int]]:
        """The key and the hash of every row in the range of this number."""
        lowest = number << RANGE_BITS
        statement = sql.SQL("select {key}, {hash} from {relation} where {key} between {lowest} and {highest}").format(
            key=self.key,
            hash=self._hash,
            relation=self.relation,
            lowest=sql.Literal(lowest),
            highest=sql.Literal(lowest + 2**RANGE_BITS - 1),
        )
        return set(self.connection.execute(statement).fetchall())

    @property
    def _hash(self) -> sql.Composed:
        # Hashed once more, so that differences in two rows do not cancel out. (PostgreSQL 13 cannot hash a record.)
        return sql.SQL("hashint8extended({}, 0)").format(sql.SQL(" # ").join(self.values))


def source_rows(connection: psycopg.Connection, catalogue: Catalogue, star: Table) -> HashedRows:
    """The rows of the source table that become the rows of a star table.

    Args:
        connection: in a snapshot of the source.
        catalogue: the catalogue as the snapshot shows it.
        star: a fact, or a dimension of an event table.
    """
    pairs = list(_pairs(star))
    source = pairs[0][1].table
    table = catalogue.tables[source.name]
    return HashedRows(
        connection,
        qualified(catalogue, source.name),
        sql.Identifier(key_of(source)),
        [
            _hash_of(number, sql.Identifier(original.name), column, original, text=as_text(found))
            for number, (column, original) in enumerate(pairs)
            if (found := table.column(original.name))
        ],
    )


def warehouse_rows(connection: psycopg.Connection, schema: str, star: Table) -> HashedRows:
    """The current rows of a star table in the warehouse.

    Args:
        connection: in a transaction of `postgres.transactions`.
        schema: the warehouse's schema.
        star: a fact, or a dimension of an event table.
    """
    return HashedRows(
        connection,
        current_relation(schema, star),
        sql.Identifier(natural_key_of(star)),
        [
            _hash_of(number, sql.Identifier(column.name), column, original)
            for number, (column, original) in enumerate(_pairs(star))
        ],
    )


def current_relation(schema: str, star: Table) -> sql.Identifier:
    """The view or table with the current rows of a star table."""
    return sql.Identifier(schema, current_view_of(star) if is_fact(star) else star.name)


def _pairs(star: Table) -> Iterator[tuple[Column[Any], Column[Any]]]:
    """The columns of a star table, each with the source column that its value comes from.

    Raises:
        TypeError: a column has several source columns, so its value cannot be compared by a cast.
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
    """A 64-bit hash of a value; its position in the row is the seed, so swapped values give another hash.

    Args:
        number: the position.
        value: the value.
        column: the warehouse's column.
        original: the source's column.
        text: the value as text; cast to text by default.
    """
    type_ = _common_type(column, original)
    if type_ == "text":
        value = text or sql.SQL("{}::text").format(value)
    return sql.SQL("coalesce({}, {})").format(_HASHES[type_].format(value, sql.Literal(number)), sql.Literal(number))


_HASHES = {
    "text": sql.SQL('hashtextextended(({}) collate "C", {})'),
    # The difference of an infinite date and another date is an error.
    "date": sql.SQL(
        "hashint8extended(case when isfinite({0}::date) then {0}::date - date '2000-01-01' "
        "when {0}::date > date '2000-01-01' then 2147483647 else -2147483648 end, {1})"
    ),
    "time": sql.SQL("time_hash_extended({}::time, {})"),
    "bigint": sql.SQL("hashint8extended({}::bigint, {})"),
    "numeric": sql.SQL("hash_numeric_extended({}::numeric, {})"),  # whatever the scale
    "boolean": sql.SQL("hashint8extended({}::boolean::integer, {})"),
}
"""Hash functions by the type in which values are compared; they exist in every supported version of PostgreSQL."""


def _common_type(column: Column[Any], original: Column[Any]) -> str:
    """The type in which values are compared. A cast to it cannot fail on either side, whatever the value."""
    match column.type, original.type:
        # A text may not be a valid date, but every date can be cast to text.
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
            raise TypeError(f"No common type is defined for {column} of type {other!r}: add one to _common_type.")
