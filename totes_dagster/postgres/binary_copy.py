"""Copying Arrow tables into PostgreSQL by binary COPY, which pgpq encodes.

PostgreSQL does not check types in binary COPY: a value of another type of the same width is read as the column's. So
compare schemas before.
"""

from collections.abc import Iterator

import pgpq
import psycopg
import pyarrow as pa
from psycopg import sql

_ROWS = 8_192
"""Rows that are encoded at a time, which bounds the memory."""


def copy_in(cursor: psycopg.Cursor, table: sql.Identifier, rows: pa.Table) -> int:
    """Copy rows into the columns of a table that have the names of theirs; return how many."""
    statement = sql.SQL("copy {} ({}) from stdin (format binary)").format(
        table, sql.SQL(", ").join(map(sql.Identifier, rows.column_names))
    )
    with cursor.copy(statement) as copy:
        for piece in encoded(rows):
            copy.write(piece)
    return cursor.rowcount


def encoded(rows: pa.Table) -> Iterator[bytes]:
    """The bytes of a COPY of these rows, in pieces."""
    encoder = pgpq.ArrowToPostgresBinaryEncoder(rows.schema)
    yield encoder.write_header()
    for batch in rows.to_batches(max_chunksize=_ROWS):
        yield encoder.write_batch(batch)
    yield encoder.finish()
