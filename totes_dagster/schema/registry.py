"""All star tables, and how they depend on source tables and on one another: derived from the declarations.

Migrations, Parquet schemas, merges, comparisons, checks, lineage and the Glue catalogue derive from here. A table that
is declared in `dimensions.py` or `facts.py` does not have to be listed anywhere.
"""

from collections.abc import Iterable
from functools import cache

from sqlalchemy import Table

from totes_dagster.schema import bookkeeping, dimensions, facts, feeds, totesys
from totes_dagster.schema.star import StarKind, kind_of, metadata, natural_key_of, remodelled_columns

__all__ = [
    "CALENDAR",
    "DIMENSIONS",
    "FACTS",
    "FEED_FACTS",
    "STAR_TABLES",
    "calendar_columns",
    "driving_table_of",
    "inputs_of",
    "is_of_events",
    "metadata",
    "stars_from",
]

_DECLARED_IN = (dimensions, facts, feeds, bookkeeping)
"""The modules whose import fills `metadata`."""


def _of_kind(*kinds: StarKind) -> dict[str, Table]:
    return {name: table for name, table in metadata.tables.items() if table.info.get("kind") in kinds}


DIMENSIONS: dict[str, Table] = _of_kind(StarKind.CALENDAR, StarKind.DIMENSION)
"""The dimensions by name, including the calendar."""

FACTS: dict[str, Table] = _of_kind(StarKind.FACT)
"""The facts by name."""

FEED_FACTS: dict[str, Table] = _of_kind(StarKind.FEED)
"""The facts that feeds bring, by name. They are no part of totesys' batches, and refer to no dimension."""

STAR_TABLES: dict[str, Table] = DIMENSIONS | FACTS
"""All star tables that are computed from totesys by name, dimensions before the facts that refer to them."""

(CALENDAR,) = _of_kind(StarKind.CALENDAR).values()
"""The one dimension that is not computed from source rows: it has all days of every year that a fact refers to."""


@cache
def inputs_of(star: str) -> tuple[str, ...]:
    """The source tables that a star table is computed from, in the order in which its columns name them.

    Each row of the first one becomes a row of the star table, except for the calendar, which has no such table.
    """
    sources = (source for column in remodelled_columns(STAR_TABLES[star]) for source in column.info["sources"])
    return tuple(dict.fromkeys(source.split(".")[0] for source in sources))


def driving_table_of(star: str) -> str | None:
    """The source table whose rows become the rows of the star table, one for one; None for the calendar."""
    return None if kind_of(STAR_TABLES[star]) is StarKind.CALENDAR else inputs_of(star)[0]


def is_of_events(star: str) -> bool:
    """Whether a star table has a row for each row of an event table, so that its parts can be computed one by one."""
    source = driving_table_of(star)
    return source is not None and totesys.capture_of(totesys.SOURCE_TABLES[source]) is totesys.Capture.CHANGES


def stars_from(tables: Iterable[str]) -> list[str]:
    """The star tables that are computed from any of these source tables, in the order of `STAR_TABLES`."""
    given = set(tables)
    return [star for star in STAR_TABLES if given & set(inputs_of(star))]


def calendar_columns() -> list[tuple[Table, str]]:
    """The columns with days of the calendar: its own key, and the facts' references to it."""
    references = ((fact, key) for fact in FACTS.values() for key in fact.foreign_keys if key.column.table is CALENDAR)
    return [(CALENDAR, natural_key_of(CALENDAR)), *((fact, key.parent.name) for fact, key in references)]


def references_to_inputs(star: str) -> dict[str, str]:
    """The columns of a star table's driving table that refer to its other inputs: source tables by source column."""
    driving, *lookups = inputs_of(star)
    keys = totesys.SOURCE_TABLES[driving].foreign_keys
    return {key.parent.name: key.column.table.name for key in keys if key.column.table.name in lookups}
