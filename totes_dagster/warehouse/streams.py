"""Streams of record batches on their way into a table of the warehouse, compared with the declaration first."""

from collections.abc import Iterator

import pyarrow as pa
from sqlalchemy import Table

from totes_dagster.errors import PartSchemaError
from totes_dagster.schema.arrow import arrow_schema
from totes_dagster.schema.warehouse import remodelled_columns

Parts = Iterator[tuple[str, pa.Table]]
"""Parts to be loaded, each with its path."""


class RowStream:
    """A stream of record batches that remembers what it failed of."""

    def __init__(self, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
        self.schema = schema
        self.failure: BaseException | None = None
        self._batches = batches

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        try:
            yield from self._batches
        except GeneratorExit:  # nobody wants the rest
            raise
        except BaseException as error:
            self.failure = error
            raise


def star_stream(table: Table, parts: Parts, batch: int | None = None) -> RowStream:
    """A stream of a star table's parts, of the columns that the remodel computes; with a batch, also its number."""
    rows = checked_stream(table, arrow_schema(remodelled_columns(table)), parts)
    if batch is None:
        return rows
    column = pa.field("batch", pa.int64(), nullable=False)

    def numbered() -> Iterator[pa.RecordBatch]:
        for piece in rows:
            yield piece.append_column(column, pa.repeat(pa.scalar(batch, pa.int64()), piece.num_rows))

    return RowStream(rows.schema.append(column), numbered())


def checked_stream(table: Table, schema: pa.Schema, parts: Parts) -> RowStream:
    """A stream of parts, each of which must have exactly this schema.

    ADBC copies binary values: a type of the same width would be taken for the column's own, and silently corrupt it.
    """

    def batches() -> Iterator[pa.RecordBatch]:
        for path, rows in parts:
            if not rows.schema.equals(schema):
                raise PartSchemaError(
                    f"The part {path} does not have the columns of {table.name}. Found: {described(rows.schema)}. "
                    f"Expected: {described(schema)}."
                )
            yield from rows.to_batches()

    return RowStream(schema, batches())


def described(schema: pa.Schema) -> str:
    """The columns of a schema with their types, in words."""
    return ", ".join(f"{field.name} {field.type}{'' if field.nullable else ' not null'}" for field in schema)
