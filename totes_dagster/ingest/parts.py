"""Writing a stream of rows as the parts of a batch, each of bounded size."""

from collections.abc import Iterator

import pyarrow as pa

from totes_dagster.errors import LakeError
from totes_dagster.lake.ingested import encoded_keys, without_empty_unfit_values
from totes_dagster.lake.manifest import Part
from totes_dagster.lake.zone import Zone

ROWS_PER_PART = 2**18
BYTES_PER_PART = 2**26
"""A part ends at whichever limit it reaches first. The limits bound the memory that a part needs in every stage: about
30 MB for an event table."""


def write_parts(
    zone: Zone, folder: str, attempt: str, chunks: Iterator[pa.RecordBatch], share: int = 0
) -> tuple[Part, ...]:
    """Write a stream of rows as parts of bounded size, holding one part in memory at a time.

    Args:
        zone: the ingestion zone.
        folder: where the parts go.
        attempt: a unique name, so that no two attempts write the same path.
        chunks: the rows.
        share: the number of the share of a table that they are, which is mostly one part.

    Raises:
        LakeError: the lake cannot be reached, or refuses.
    """
    return tuple(
        write_part(zone, folder, f"{attempt}-{number}" if number else attempt, rows, share)
        for number, rows in enumerate(_tables(chunks))
    )


def write_keys(zone: Zone, folder: str, attempt: str, chunks: Iterator[pa.RecordBatch]) -> tuple[Part, ...]:
    """Like `write_parts`, for rows that are nothing but keys, in order."""
    parts = []
    for number, keys in enumerate(_tables(chunks)):
        path, data = _path(folder, attempt, number), encoded_keys(keys)
        if not zone.create(path, data):
            raise _already_exists(zone, path)
        parts.append(Part(path=path, rows=keys.num_rows, bytes=data.size))
    return tuple(parts)


def write_part(zone: Zone, folder: str, attempt: str, rows: pa.Table, number: int = 0) -> Part:
    """Write rows as one part, whatever their number; see `write_parts`."""
    path = _path(folder, attempt, number)
    part = zone.create_part(path, rows)
    if part is None:
        raise _already_exists(zone, path)
    return part


def _path(folder: str, attempt: str, number: int) -> str:
    return f"{folder}/part-{number:05}-{attempt}.parquet"


def _already_exists(zone: Zone, path: str) -> LakeError:
    return LakeError(f"{path} already exists in {zone.url}, although its name was generated a moment ago.")


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
