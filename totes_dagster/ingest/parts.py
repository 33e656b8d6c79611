"""Writing a stream of rows as the parts of a batch, each of bounded size."""

from collections.abc import Iterator

import pyarrow as pa

from totes_dagster.errors import LakeError
from totes_dagster.lake.ingested import without_empty_unfit_values
from totes_dagster.lake.manifest import Part
from totes_dagster.lake.zone import Zone

ROWS_PER_PART = 2**18
BYTES_PER_PART = 2**26
"""A part ends at whichever limit it reaches first. The limits bound the memory that a part needs in every stage: about
30 MB for an event table."""


def write_parts(zone: Zone, folder: str, attempt: str, chunks: Iterator[pa.RecordBatch]) -> tuple[Part, ...]:
    """Write a stream of rows as parts of bounded size, holding one part in memory at a time.

    Args:
        zone: the ingestion zone.
        folder: where the parts go.
        attempt: a unique name, so that no two attempts write the same path.
        chunks: the rows.

    Raises:
        LakeError: the lake cannot be reached, or refuses.
    """
    parts = []
    for number, rows in enumerate(_tables(chunks)):
        path = f"{folder}/part-{number:05}-{attempt}.parquet"
        part = zone.create_part(path, rows)
        if part is None:
            raise LakeError(f"{path} already exists in {zone.url}, although its name was generated a moment ago.")
        parts.append(part)
    return tuple(parts)


def _tables(chunks: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    waiting: list[pa.RecordBatch] = []
    rows = size = 0
    for chunk in chunks:
        offset = 0
        while offset < chunk.num_rows:
            piece = chunk.slice(offset, ROWS_PER_PART - rows)
            waiting.append(piece)
            rows += piece.num_rows
            size += piece.nbytes
            offset += piece.num_rows
            if rows == ROWS_PER_PART or size >= BYTES_PER_PART:
                yield without_empty_unfit_values(pa.Table.from_batches(waiting))
                waiting, rows, size = [], 0, 0
    if rows:
        yield without_empty_unfit_values(pa.Table.from_batches(waiting))
