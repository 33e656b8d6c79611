"""The contract with the source: which differences between its catalogue and the declaration are acceptable.

Decisions over plain values. The declaration is `schema/totesys.py`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Boolean, Column, Integer, Numeric, String, Table
from sqlalchemy.dialects.postgresql import TIMESTAMP

from totes_dagster.errors import SourceSchemaError
from totes_dagster.lake.ingested import UNFIT_VALUES
from totes_dagster.lake.source_catalogue import Catalogue, SourceColumn, SourceTable
from totes_dagster.postgres.types import sql_type
from totes_dagster.schema.totesys import SOURCE_TABLES, key_of, metadata

_TEXT = {"text", "character varying", "character", "citext"}
_INTEGERS = {"smallint", "integer", "bigint"}

_MAX_NAMED = 5
"""How many new tables a message names."""


@dataclass(frozen=True)
class Deviation:
    """One difference between the source and the declaration.

    Attributes:
        table: name of the table.
        column: name of the column; None if the difference concerns the whole table.
        expected: what the declaration says.
        found: what the catalogue says.
        breaks: whether it breaks the contract, so that nothing may be read. Other deviations are only reported.
        endangers: whether it may harm the source, so that somebody must be alerted.
    """

    table: str
    column: str | None
    expected: str
    found: str
    breaks: bool
    endangers: bool = False

    def __str__(self) -> str:
        what = self.table if self.column is None else f"{self.table}.{self.column}"
        return f"{what}: expected {self.expected}, found {self.found}"


def deviations_of(catalogue: Catalogue) -> list[Deviation]:
    """All differences between the source and the declaration, in the declaration's order; new tables last.

    Integers of any width, numerics of any precision, texts of any kind and length, enums with other labels, timestamps
    of any precision, citext, and domains over such types are accepted: rows whose values do not fit are quarantined one
    by one. Dropped constraints are reported, and so are new columns and tables, which the lake keeps.
    """
    if not catalogue.tables.keys() & SOURCE_TABLES.keys():
        expected = f"its {len(SOURCE_TABLES)} tables"
        return [
            Deviation(
                "totesys",
                None,
                expected,
                "none of them; is this the right database, and may the user use the schema?",
                breaks=True,
            )
        ]
    found = [deviation for name in SOURCE_TABLES for deviation in _deviations_of_table(catalogue, name)]
    for name in undeclared(catalogue, readable=None):
        obstacle = catalogue.tables[name].obstacle
        what = f"a new table, not captured: {obstacle}" if obstacle else "a new table, kept in the lake"
        found.append(Deviation(name, None, "no such table", what, breaks=False))
    return found


def _deviations_of_table(catalogue: Catalogue, name: str) -> Iterator[Deviation]:
    table, declared = catalogue.tables.get(name), SOURCE_TABLES[name]
    if table is None:
        yield Deviation(name, None, "a table", _found_instead(catalogue), breaks=True)
        return
    if not is_table(table):
        yield Deviation(name, None, "a table", f"a {table.kind}", breaks=True)
        return
    if table.obstacle:
        yield Deviation(name, None, "all of its rows", f"that {table.obstacle}", breaks=True)
    yield from _deviations_of_columns(table, declared)
    if table.key != (key_of(declared),):
        key = ", ".join(table.key)
        yield Deviation(name, None, f"primary key {key_of(declared)}", key or "none", breaks=False)
    for new_column in table.columns:
        if new_column.name not in declared.columns:
            reserved = " under a name that the platform reserves, not captured" * (new_column.name == UNFIT_VALUES)
            yield Deviation(name, new_column.name, "no such column", f"{new_column.full_type}{reserved}", breaks=False)


def _deviations_of_columns(table: SourceTable, declared: Table) -> Iterator[Deviation]:
    """How the declared columns differ in the source."""
    for column in declared.columns:
        actual = table.column(column.name)
        if actual is None:
            new = [other.name for other in table.columns if other.name not in declared.columns]
            instead = f"no such column, but {', '.join(new)}, which is not declared" if new else "no such column"
            yield Deviation(declared.name, column.name, sql_type(column), instead, breaks=True)
        elif not _is_compatible(column, actual):
            yield Deviation(declared.name, column.name, sql_type(column), actual.full_type, breaks=True)
        elif actual.nullable and not column.nullable:
            yield Deviation(declared.name, column.name, "not null", "nulls allowed", breaks=False)


def not_captured(table: str, reason: str) -> Deviation:
    """The deviation of an undeclared table that could not be captured this time."""
    return Deviation(table, None, "no such table", f"a new table, not captured this time: {reason}", breaks=False)


def kept_log(slot: str, held_bytes: int) -> Deviation:
    """The deviation of a source that keeps much of its log for the platform."""
    size = f"{held_bytes / 2**30:,.1f} GB"
    found = f"{size} of it kept for the replication slot {slot}; see docs/log.md"
    return Deviation("write-ahead log", None, "little of it to be kept", found, breaks=False, endangers=True)


def is_table(table: SourceTable) -> bool:
    """Whether this is a table or a partitioned table, whose row versions show what changed."""
    return table.kind in {"table", "partitioned table"}


def undeclared(catalogue: Catalogue, *, readable: bool | None = True) -> list[str]:
    """Undeclared tables of the source.

    Args:
        catalogue: the source's.
        readable: True for the tables that the platform can read, False for the others, None for all.
    """
    return [
        name
        for name, table in catalogue.tables.items()
        if name not in metadata.tables and (readable is None or readable is not bool(table.obstacle))
    ]


def has_unique_keys(catalogue: Catalogue, table: str) -> bool:
    """Whether the source guarantees that no two rows of a declared table share a key."""
    return catalogue.tables[table].key == (key_of(SOURCE_TABLES[table]),) and not catalogue.tables[table].inherited


def refuse_broken(deviations: list[Deviation]) -> None:
    """Raise an error if any deviation breaks the contract.

    Raises:
        SourceSchemaError: the contract is broken. The message names every table and column, what was expected and what
            was found.
    """
    breaking = [str(deviation) for deviation in deviations if deviation.breaks]
    if breaking:
        raise SourceSchemaError(
            f"The source is not as declared: {'; '.join(breaking)}. Nothing was read. Check the database, the user's "
            "search path and rights; if its owner changed the table, adapt totes_dagster/schema/totesys.py to it.",
            deviations="; ".join(breaking),
        )


def _is_compatible(declared: Column[Any], found: SourceColumn) -> bool:
    match declared.type:
        case Integer():
            return found.type in _INTEGERS
        case Boolean():
            return found.type == "boolean"
        case Numeric():
            return found.type == "numeric"
        case TIMESTAMP(timezone=False):
            return found.type == "timestamp without time zone"
        case String():  # also Text and Enum
            # format_type gives the schema of an extension's type.
            return found.type.rpartition(".")[2] in _TEXT or bool(found.labels)
        case other:
            raise TypeError(f"The contract does not cover type {other!r} of {declared}: add it to _is_compatible.")


def _found_instead(catalogue: Catalogue) -> str:
    new = undeclared(catalogue, readable=None)
    if not new:
        return "no such table"
    more = f" and {len(new) - _MAX_NAMED:,} more" if len(new) > _MAX_NAMED else ""
    names = ", ".join(new[:_MAX_NAMED])
    return f"no such table, but {names}{more}, which {'are' if len(new) > 1 else 'is'} not declared"
