"""Tables of the warehouse as streams: as they are, as they were, or what one batch brought."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy
from psycopg import sql
from sqlalchemy import Numeric, Table

from totes_dagster.config.platform import Warehouse
from totes_dagster.errors import SelectionError
from totes_dagster.postgres.columns import ROWS_AT_ONCE, Column, read_columns
from totes_dagster.postgres.named_errors import named_error
from totes_dagster.postgres.transactions import REPEATABLE_READ, SNAPSHOT_LIMIT, transaction
from totes_dagster.postgres.types import sql_type
from totes_dagster.reading.selection import NEWEST, Selection
from totes_dagster.schema.arrow import arrow_schema
from totes_dagster.schema.registry import STAR_TABLES
from totes_dagster.schema.star import current_view_of, is_fact, natural_key_of, record_id_of
from totes_dagster.warehouse.queries import newest_first


def loaded_rows(star: str, warehouse: Warehouse, selection: Selection = NEWEST) -> pa.RecordBatchReader:
    """The rows of a star table in the warehouse, with its declared columns, in one read-only transaction.

    Of a fact, the newest state is what its view of current versions shows; `batch` selects the versions that a batch
    appended, deletions included.

    Args:
        star: the star table.
        warehouse: the warehouse.
        selection: which rows.

    Raises:
        SelectionError: the table is a dimension, which has no history, and the selection is not the newest state.
        DatabaseError: when rows are read: the warehouse cannot be reached, refuses, or closes the connection.
    """
    table = STAR_TABLES[star]
    relation = _relation(table, warehouse.schema, selection)
    return pa.RecordBatchReader.from_batches(arrow_schema(table.columns), _batches(warehouse, table, relation))


@dataclass(frozen=True)
class _Relation:
    """Rows of a star table.

    Attributes:
        rows: SQL of the relation.
        key: the column that identifies a row, and has an index.
    """

    rows: sql.Composable
    key: str


def _relation(table: Table, schema: str, selection: Selection) -> _Relation:
    name, key = sql.Identifier(schema, table.name), natural_key_of(table)
    if not is_fact(table):
        if selection != NEWEST:
            raise SelectionError(f"{table.name} is a dimension: the warehouse keeps its newest state only.")
        return _Relation(name, key)
    if selection.batch:
        return _Relation(
            sql.SQL("(select * from {} where batch = {}) as versions").format(name, sql.Literal(selection.batch)),
            record_id_of(table),
        )
    if selection.as_of:
        versions = sql.SQL(
            "(select * from (select distinct on ({key}) * from {name} where batch <= {batch} "
            "order by {key}, {newest_first}) as newest where not is_deleted) as current"
        ).format(
            key=sql.Identifier(key), name=name, batch=sql.Literal(selection.as_of), newest_first=newest_first(table)
        )
        return _Relation(versions, key)
    return _Relation(sql.Identifier(schema, current_view_of(table)), key)


def _batches(warehouse: Warehouse, table: Table, relation: _Relation) -> Iterator[pa.RecordBatch]:
    schema = arrow_schema(table.columns)
    columns = [_column(column) for column in table.columns]
    # In one snapshot, because a table is read in several statements; whoever takes the rows may take their time.
    with (
        warehouse.database.connect() as connection,
        transaction(connection, isolation=REPEATABLE_READ, read_only=True, idle=SNAPSHOT_LIMIT),
    ):
        condition: sql.Composable = sql.SQL("true")
        while True:
            rows = sql.SQL("(select * from {rows} where {condition} order by {key} limit {limit}) as page").format(
                rows=relation.rows,
                condition=condition,
                key=sql.Identifier(relation.key),
                limit=sql.Literal(ROWS_AT_ONCE),
            )
            try:
                page = read_columns(connection, columns, rows)
            except psycopg.Error as error:
                raise named_error(warehouse.database.name, f"reading {table.name}", error) from error
            if page.num_rows:
                yield page.cast(schema)
            if page.num_rows < ROWS_AT_ONCE:
                return
            last = pc.max(page.column(relation.key)).as_py()
            condition = sql.SQL("{} > {}").format(sql.Identifier(relation.key), sql.Literal(last))


# In a warehouse that was adopted, a column may be narrower than declared.
_CASTS = {
    "bigint": sql.SQL("{}::bigint"),
    "boolean": sql.SQL("{}::boolean"),
    "character varying": sql.SQL("{}::text"),
    "date": sql.SQL("{}::date"),
    "integer": sql.SQL("{}::integer"),
    "text": sql.SQL("{}::text"),
    "time without time zone": sql.SQL("{}::time"),
}


def _column(column: sqlalchemy.Column[Any]) -> Column:
    type_ = "text" if isinstance(column.type, Numeric) else sql_type(column)
    value = _CASTS[type_].format(sql.Identifier(column.name))
    return Column(column.name, type_, value, nullable=bool(column.nullable))
