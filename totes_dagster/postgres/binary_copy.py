"""Encoding Arrow tables for PostgreSQL's binary COPY, with pgpq.

PostgreSQL does not check types in binary COPY: a value of another type of the same width is read as the column's. So
compare schemas before.
"""

from collections.abc import Iterator

import pgpq
import pyarrow as pa

_ROWS = 8_192
"""Rows that are encoded at a time, which bounds the memory."""


def encoded(rows: pa.Table) -> Iterator[bytes]:
    """The bytes of a COPY of these rows, in pieces."""
    encoder = pgpq.ArrowToPostgresBinaryEncoder(rows.schema)
    yield encoder.write_header()
    for batch in rows.to_batches(max_chunksize=_ROWS):
        yield encoder.write_batch(batch)
    yield encoder.finish()
