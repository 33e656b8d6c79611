"""Asset keys and metadata of tables, derived from their declarations: descriptions, columns, lineage."""

from collections.abc import Iterable
from typing import Any

from dagster import (
    AssetKey,
    TableColumn,
    TableColumnConstraints,
    TableColumnDep,
    TableColumnLineage,
    TableSchema,
)
from sqlalchemy import Column, Table

from totes_dagster.postgres.types import sql_type
from totes_dagster.schema import star, totesys
from totes_dagster.schema.star import remodelled_columns

OWNERS = ["team:data"]

INGESTION_ZONE = "ingestion_zone"
PROCESSED_ZONE = "processed_zone"
LANDING_ZONE = "landing"
WAREHOUSE_TABLES = "warehouse_tables"
"""Keys of the IO managers that load the assets of each stage."""

DATA_VERSION_TAG = "dagster/data_version"
"""Tag by which a materialization that no step has as its output says its data version."""

_PERSONAL = {"personal": ""}
"""Tag of a column that describes a person."""


def key_of_source(table: str) -> AssetKey:
    """Key of a table in the source."""
    return AssetKey(["totesys", table])


def key_of_landed(feed: str) -> AssetKey:
    """Key of a feed's files in the landing zone."""
    return AssetKey(["landing", feed])


def key_of_ingested(table: str) -> AssetKey:
    """Key of a source table, or of a feed, in the ingestion zone."""
    return AssetKey(["ingestion", table])


def key_of_processed(star: str) -> AssetKey:
    """Key of a star table in the processed zone."""
    return AssetKey(["processed", star])


def key_of_loaded(star: str) -> AssetKey:
    """Key of a star table in the warehouse."""
    return AssetKey(["warehouse", star])


def column_schema(table: Table, columns: Iterable[Column[Any]] | None = None) -> TableSchema:
    """A table's columns with types, descriptions and constraints, for Dagster's column view."""
    return TableSchema(
        columns=[
            TableColumn(
                name=column.name,
                type=sql_type(column),
                description=_described(column),
                tags=_PERSONAL if _is_personal(column) else {},
                constraints=TableColumnConstraints(
                    nullable=bool(column.nullable),
                    unique=bool(column.primary_key or column.unique),
                    other=[f"references {key.target_fullname}" for key in column.foreign_keys],
                ),
            )
            for column in (table.columns if columns is None else columns)
        ]
    )


def _is_personal(column: Column[Any]) -> bool:
    """Whether a column of the source or of a star table describes a person."""
    return star.is_personal(column) if "sources" in column.info else totesys.is_personal(column)


def _described(column: Column[Any]) -> str:
    """A column's description and sources. Dagster stores column lineage, but its UI does not show it."""
    sources = column.info.get("sources", ())
    return f"{column.comment} From {', '.join(sources)}." if sources else str(column.comment)


def copied_lineage(upstream: AssetKey, columns: Iterable[Column[Any]]) -> TableColumnLineage:
    """Column lineage of a table that has columns of another unchanged."""
    return TableColumnLineage({column.name: [TableColumnDep(upstream, column.name)] for column in columns})


def remodelled_lineage(table: Table) -> TableColumnLineage:
    """Column lineage of a star table in the processed zone, from the ingestion zone."""
    return TableColumnLineage(
        {
            column.name: [
                TableColumnDep(key_of_ingested(ingested), source)
                for ingested, source in (source.split(".") for source in column.info["sources"])
            ]
            for column in remodelled_columns(table)
            if column.info["sources"]
        }
    )
