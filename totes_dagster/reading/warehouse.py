"""Tables of the warehouse as streams: as they are, as they were, or what one batch brought."""

from collections.abc import Iterator

import pyarrow as pa
from adbc_driver_manager import dbapi as adbc_errors
from psycopg import sql
from sqlalchemy import Table

from totes_dagster.config.platform import Warehouse
from totes_dagster.errors import SelectionError
from totes_dagster.postgres.bulk import set_up_bulk_transaction
from totes_dagster.postgres.named_errors import named_error
from totes_dagster.reading.selection import NEWEST, Selection
from totes_dagster.schema.arrow import arrow_schema
from totes_dagster.schema.registry import STAR_TABLES
from totes_dagster.schema.star import current_view_of, is_fact, natural_key_of
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
    statement = _statement(table, warehouse.schema, selection)
    schema = arrow_schema(table.columns)
    return pa.RecordBatchReader.from_batches(schema, _batches(warehouse, statement, schema))


def _statement(table: Table, schema: str, selection: Selection) -> sql.Composed:
    columns = sql.SQL(", ").join(sql.Identifier(column.name) for column in table.columns)
    name = sql.Identifier(schema, table.name)
    if not is_fact(table):
        if selection != NEWEST:
            raise SelectionError(f"{table.name} is a dimension: the warehouse keeps its newest state only.")
        return sql.SQL("select {} from {}").format(columns, name)
    if selection.batch:
        return sql.SQL("select {} from {} where batch = {}").format(columns, name, sql.Literal(selection.batch))
    if selection.as_of:
        return sql.SQL(
            "select {columns} from (select distinct on ({key}) * from {name} where batch <= {batch} "
            "order by {key}, {newest_first}) as newest where not is_deleted"
        ).format(
            columns=columns,
            key=sql.Identifier(natural_key_of(table)),
            name=name,
            batch=sql.Literal(selection.as_of),
            newest_first=newest_first(table),
        )
    return sql.SQL("select {} from {}").format(columns, sql.Identifier(schema, current_view_of(table)))


def _batches(warehouse: Warehouse, statement: sql.Composed, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    with warehouse.database.connect_bulk() as connection:
        set_up_bulk_transaction(connection, read_only=True)
        with connection.cursor() as cursor:
            try:
                cursor.execute(statement.as_string(None))
                for arrived in cursor.fetch_record_batch():
                    yield pa.RecordBatch.from_arrays(
                        [_exact(column, field.type) for column, field in zip(arrived.columns, schema, strict=True)],
                        schema=schema,
                    )
            except (adbc_errors.Error, OSError) as error:  # an OSError if the stream is cut off between its rows
                raise named_error(warehouse.database.name, "reading a table", error) from error


def _exact(column: pa.Array, type_: pa.DataType) -> pa.Array:
    # numeric arrives as an opaque string, which casts to decimal exactly.
    values = column.storage if isinstance(column.type, pa.BaseExtensionType) else column
    return values.cast(type_)
