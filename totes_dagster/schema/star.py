"""How star tables are declared: columns, dimensions and facts, and functions that read their properties.

The tables themselves are in `dimensions.py` and `facts.py`, and are collected in `registry.py`.
"""

from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, MetaData, String, Table, text
from sqlalchemy.types import TypeEngine

from totes_dagster.schema import totesys

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "ix": "%(table_name)s_%(column_0_name)s_idx",
    }
)


class StarKind(StrEnum):
    """What a row of a star table represents."""

    DIMENSION = "dimension"
    """One row per source row, with its latest values."""
    CALENDAR = "calendar"
    """One row per day, whether or not a source row refers to it."""
    FACT = "fact"
    """One row per version of a source row."""
    FEED = "feed"
    """One row per version of what a feed's files say of one thing: a fact whose rows do not come from the source."""


_NEWEST_INDEX = "_newest_idx"

UNKNOWN = "Unknown"
"""The value of a NOT NULL text column if the source has none, and of every such column in a placeholder member."""


def column(
    name: str,
    type_: TypeEngine[Any],
    description: str,
    *sources: str,
    nullable: bool = False,
    references: str | None = None,
) -> Column[Any]:
    """Declare a column of a star table.

    Args:
        name: its name.
        type_: its type in the warehouse.
        description: its comment in the warehouse, a sentence.
        sources: the source columns (`table.column`) that its value is computed from.
        nullable: whether it may be null.
        references: the column (`table.column`) of a dimension that it refers to.
    """
    constraints = [ForeignKey(references)] if references else []
    return Column(name, type_, *constraints, nullable=nullable, comment=description, info={"sources": sources})


def dimension(name: str, grain: str, key: Column[Any], *columns: Column[Any], version: int = 1) -> Table:
    """Declare a dimension. For `version`, see `remodel_version_of`."""
    info = {"kind": StarKind.DIMENSION, "natural_key": key.name, "version": version}
    return Table(name, metadata, key, *columns, comment=grain, info=info)


def calendar(name: str, grain: str, key: Column[Any], *columns: Column[Any], version: int = 1) -> Table:
    """Declare the calendar, whose key is a day; the sources of the key are all source columns with days."""
    info = {"kind": StarKind.CALENDAR, "natural_key": key.name, "version": version}
    return Table(name, metadata, key, *columns, comment=grain, info=info)


def dimension_key(name: str, type_: TypeEngine[Any], description: str, *sources: str) -> Column[Any]:
    """Declare the key of a dimension, which is the source's own key."""
    return Column(name, type_, primary_key=True, autoincrement=False, comment=description, info={"sources": sources})


def fact(name: str, grain: str, record_id: str, *columns: Column[Any], version: int = 1) -> Table:
    """Declare a fact: a generated record id, the given columns, and the columns that the load fills in.

    The first of `columns` is the natural key. For `version`, see `remodel_version_of`.
    """
    info = {"kind": StarKind.FACT, "natural_key": columns[0].name, "version": version}
    return _versioned(name, grain, record_id, columns[:1], columns[1:], info)


def feed_fact(
    name: str,
    grain: str,
    record_id: str,
    key: tuple[Column[Any], ...],
    *columns: Column[Any],
    own_time: str | None = None,
    version: int = 1,
) -> Table:
    """Declare the fact of a feed, whose natural key may have several columns.

    Args:
        name: its name.
        grain: its comment in the warehouse, a sentence or two.
        record_id: name of the generated number of a version.
        key: the columns that say what a row is about.
        columns: what it says of it.
        own_time: the column with the time at which the row held, if it has one: of two rows of a key, the one with the
            later time is the newer, whichever file came first.
        version: see `remodel_version_of`.
    """
    info = {"kind": StarKind.FEED, "own_time": own_time, "version": version}
    return _versioned(name, grain, record_id, key, columns, info)


def _versioned(
    name: str,
    grain: str,
    record_id: str,
    key: tuple[Column[Any], ...],
    columns: tuple[Column[Any], ...],
    info: dict[str, Any],
) -> Table:
    number = Column(
        record_id,
        BigInteger,
        primary_key=True,
        autoincrement=True,
        comment="Generated number of this version. Of two versions of one row, the newer has the higher batch.",
    )
    batch = Column("batch", BigInteger, nullable=False, comment="Batch that brought this version; 0 where none did.")
    return Table(
        name,
        metadata,
        number,
        *key,
        *columns,
        Column(
            "is_deleted",
            Boolean,
            nullable=False,
            server_default=text("false"),
            comment="True on the version that records that the row is gone from the source.",
        ),
        batch,
        # Finds the newest version of a row; see `version_order_of`.
        Index(f"{name}{_NEWEST_INDEX}", *key, batch.desc(), number.desc()),
        comment=grain,
        info={"record_id": record_id, "key": tuple(column.name for column in key), **info},
    )


def kind_of(table: Table) -> StarKind:
    """What a row of this star table represents."""
    return StarKind(table.info["kind"])


def is_fact(table: Table) -> bool:
    """Whether a star table is a fact, with versions, and not a dimension, with latest values."""
    return kind_of(table) is StarKind.FACT


def natural_key_of(table: Table) -> str:
    """Name of the column with the source's own key; for the calendar, the day."""
    return str(table.info["natural_key"])


def key_columns_of(fact: Table) -> tuple[str, ...]:
    """Names of the columns that say which row a version of a fact belongs to."""
    return tuple(fact.info["key"])


def own_time_of(fact: Table) -> str | None:
    """Name of the column with the time at which a row of a feed's fact held; None if it has none."""
    own_time: str | None = fact.info["own_time"]
    return own_time


def record_id_of(fact: Table) -> str:
    """Name of a fact's generated key."""
    return str(fact.info["record_id"])


def version_order_of(fact: Table) -> tuple[str, str]:
    """Names of the columns that order the versions of one row, oldest first: the batch, then the record id.

    Record ids alone do not order them: a warehouse that was moved without its sequences gives lower ids to new
    versions. A batch brings at most one version of a row, so record ids only order versions that no batch brought
    (batch 0).
    """
    return "batch", record_id_of(fact)


def newest_index_of(fact: Table) -> str:
    """Name of the index that finds a row's newest version: on the key, then on `version_order_of`, reversed."""
    return f"{fact.name}{_NEWEST_INDEX}"


def primary_key_of(table: Table) -> str:
    """Name of a star table's primary key, and of its index."""
    return f"{table.name}_pkey"


def remodel_version_of(table: Table) -> int:
    """Version of a star table's declaration and function, which names its folder in the processed zone.

    Increase it when either changes: objects are never overwritten, so every batch is then remodelled into a new folder.
    Rows that are already loaded stay as they are until they change in the source or the warehouse is rebuilt.
    """
    return int(table.info["version"])


def remodelled_columns(table: Table) -> list[Column[Any]]:
    """The columns that the remodel computes: all except those that only the load can fill in."""
    return [column for column in table.columns if "sources" in column.info]


def current_view_of(fact: Table) -> str:
    """Name of the view that shows a fact's newest, live versions."""
    return fact.name.replace("fact_", "current_")


def placeholder_columns(dimension: Table) -> list[str]:
    """The columns that are `UNKNOWN` in a placeholder, the member added for a reference to a row that does not exist.

    All other columns of a dimension, except for its key, must be nullable.
    """
    return [column.name for column in dimension.columns if isinstance(column.type, String) and not column.nullable]


def is_personal(column: Column[Any]) -> bool:
    """Whether a column of a star table is computed from a personal one of the source."""
    sources = (source.split(".") for source in column.info.get("sources", ()))
    return any(totesys.is_personal(totesys.SOURCE_TABLES[table].columns[name]) for table, name in sources)
