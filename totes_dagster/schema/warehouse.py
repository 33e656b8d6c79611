"""The warehouse as a whole: the eleven star tables, and `load_history`.

Migrations, Parquet schemas of the processed zone, merges, column descriptions and column lineage derive from here.
"""

from typing import Any

from sqlalchemy import BigInteger, Column, Integer, String, Table, text
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

from totes_dagster.schema import totesys
from totes_dagster.schema.dimensions import (
    dim_counterparty,
    dim_currency,
    dim_date,
    dim_design,
    dim_location,
    dim_payment_type,
    dim_staff,
    dim_transaction,
)
from totes_dagster.schema.facts import fact_payment, fact_purchase_order, fact_sales_order
from totes_dagster.schema.star import (
    UNKNOWN,
    current_view_of,
    metadata,
    natural_key_of,
    record_id_of,
    remodel_version_of,
    remodelled_columns,
    version_order_of,
)

__all__ = [
    "DIMENSIONS",
    "FACTS",
    "TABLES",
    "UNKNOWN",
    "current_view_of",
    "days_named",
    "dim_counterparty",
    "dim_currency",
    "dim_date",
    "dim_design",
    "dim_location",
    "dim_payment_type",
    "dim_staff",
    "dim_transaction",
    "fact_payment",
    "fact_purchase_order",
    "fact_sales_order",
    "is_fact",
    "is_personal",
    "load_history",
    "metadata",
    "natural_key_of",
    "quarantine",
    "record_id_of",
    "remodel_version_of",
    "remodelled_columns",
    "version_order_of",
]

DIMENSIONS: dict[str, Table] = {
    table.name: table
    for table in (
        dim_date,
        dim_location,
        dim_counterparty,
        dim_currency,
        dim_design,
        dim_payment_type,
        dim_staff,
        dim_transaction,
    )
}
FACTS: dict[str, Table] = {table.name: table for table in (fact_sales_order, fact_purchase_order, fact_payment)}
TABLES: dict[str, Table] = DIMENSIONS | FACTS
"""The eleven star tables by name, dimensions before the facts that refer to them."""

load_history = Table(
    "load_history",
    metadata,
    Column("batch", BigInteger, primary_key=True, autoincrement=False, comment="Number of the batch."),
    Column(
        "snapshot_at",
        TIMESTAMP(timezone=True),
        nullable=False,
        comment="When the source snapshot was taken: the warehouse shows the source as it was then.",
    ),
    Column(
        "loaded_at",
        TIMESTAMP(timezone=True),
        nullable=False,
        server_default=text("clock_timestamp()"),
        comment="When the batch was loaded.",
    ),
    Column("manifest_sha256", String(), nullable=False, comment="Digest of the batch's manifest in the lake."),
    Column(
        "tables",
        JSONB,
        nullable=False,
        comment="For each star table in the batch: rows ingested, quarantined, staged, new, changed, unchanged, "
        "deleted, and placeholders.",
    ),
    comment="One row per loaded batch, written by the transaction that loaded it.",
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("source_table", String(), nullable=False, index=True, comment="Table of the source that the row is in."),
    Column("source_key", Integer(), comment="Its primary key; null where it has none."),
    Column("reason", String(), nullable=False, comment="Why it cannot become a row of the warehouse."),
    Column("batch", BigInteger(), nullable=False, comment="Batch that brought it."),
    Column("part", String(), nullable=False, comment="Object of the processed zone that holds the row as it is."),
    comment="One row per row of the source that is set aside now. It leaves when its source row is corrected, or gone.",
)


def days_named() -> list[tuple[Table, str]]:
    """The columns that hold days of the calendar: its own, and those of the facts."""
    columns = [(fact, key) for fact in FACTS.values() for key in fact.foreign_keys if key.column.table is dim_date]
    return [(dim_date, "date_id"), *((fact, key.parent.name) for fact, key in columns)]


def is_fact(table: Table) -> bool:
    """Whether a star table is a fact, holding versions, and not a dimension, holding latest values."""
    return table.name in FACTS


def is_personal(column: Column[Any]) -> bool:
    """Whether a column of a star table is computed from a personal one of the source."""
    sources = (source.split(".") for source in column.info.get("sources", ()))
    return any(totesys.is_personal(totesys.TABLES[table].columns[name]) for table, name in sources)
