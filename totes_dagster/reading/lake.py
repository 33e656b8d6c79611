"""Tables of the lake as streams: as they are, as they were, or what one batch brought."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from totes_dagster.errors import BatchUnknownError, PartSchemaError
from totes_dagster.lake.batch_log import BatchLog
from totes_dagster.lake.manifest import Part
from totes_dagster.lake.processed import StarPart, changes_of, star_parts, star_schema
from totes_dagster.lake.zone import Lake, Zone
from totes_dagster.reading.history import (
    History,
    ListedKeys,
    P,
    history_of_ingested,
    history_of_star,
    newest_rows,
)
from totes_dagster.reading.selection import NEWEST, Selection
from totes_dagster.remodel.reading import read_ingested
from totes_dagster.schema.arrow import arrow_schema, described
from totes_dagster.schema.registry import STAR_TABLES, driving_table_of
from totes_dagster.schema.star import natural_key_of
from totes_dagster.schema.totesys import SOURCE_TABLES, key_of


def ingested_rows(table: str, ingestion: Zone, selection: Selection = NEWEST) -> pa.RecordBatchReader:
    """The rows of a source table in the ingestion zone, with its declared columns, part by part.

    A value that does not fit its column's type is null.

    Args:
        table: the source table.
        ingestion: the ingestion zone.
        selection: which rows.

    Raises:
        BatchUnknownError: the batch of the selection is not committed.
        PartError: when rows are read: a part is missing or damaged, or has another schema.
    """
    # Every column may contain nulls, because the source may have dropped its constraints.
    schema = pa.schema([pa.field(field.name, field.type) for field in arrow_schema(SOURCE_TABLES[table].columns)])
    log = BatchLog(ingestion)

    def read(part: Part) -> pa.Table:
        return read_ingested(ingestion, table, (part,)).select(schema.names)

    if selection.batch:
        manifest = log.manifest(_committed(selection.batch, log))
        parts = manifest.tables[table].parts if manifest.brings(table) else ()
        return _stream(schema, map(read, parts))
    history = history_of_ingested(table, log, _committed(selection.as_of, log))
    keys = _Keys(ingestion, key_of(SOURCE_TABLES[table]))
    return _stream(schema, _counting_rows(history, read, keys, keys))


def remodelled_rows(star: str, lake: Lake, selection: Selection = NEWEST) -> pa.RecordBatchReader:
    """The rows of a star table in the processed zone, part by part. Rows in quarantine are not among them.

    Args:
        star: the star table.
        lake: both zones; the manifests and the live keys are in the ingestion zone.
        selection: which rows.

    Raises:
        BatchUnknownError: the batch of the selection is not committed.
        PartError: when rows are read: a part is not remodelled yet, missing or damaged, or has another schema.
    """
    schema = star_schema(star)
    log = BatchLog(lake.ingestion)

    def read(part: StarPart) -> pa.Table:
        rows = lake.processed.read_part(part.path)
        if not rows.schema.equals(schema):
            raise PartSchemaError(
                f"The part {part.path} in {lake.processed.url} does not have the columns of {star}. Found: "
                f"{described(rows.schema)}. Expected: {described(schema)}."
            )
        return rows

    if selection.batch:
        return _stream(schema, map(read, star_parts(star, log.manifest(_committed(selection.batch, log)))))
    newest = _committed(selection.as_of, log)
    history = history_of_star(star, log, newest if selection.as_of else _remodelled(star, log, newest, lake.processed))
    keys = _Keys(lake.processed, natural_key_of(STAR_TABLES[star]))
    driving = driving_table_of(star)
    live_keys = _Keys(lake.ingestion, key_of(SOURCE_TABLES[driving])) if driving else keys
    return _stream(schema, _counting_rows(history, read, keys, live_keys))


def _committed(batch: int | None, log: BatchLog) -> int:
    """The batch itself, or the newest one; 0 if there is none yet."""
    head = log.head()
    if batch is None:
        return head
    if batch > head:
        raise BatchUnknownError(f"There is no batch {batch} in {log.zone.url}: the newest one is {head}.")
    return batch


def _remodelled(star: str, log: BatchLog, newest: int, processed: Zone) -> int:
    """The newest batch up to one whose parts of a star table all exist; a refresh in progress has yet to write some."""
    for manifest in changes_of(star, log, newest):
        if all(processed.exists(part.path) for part in star_parts(star, manifest)):
            return manifest.batch
    return 0


@dataclass(frozen=True)
class _Keys:
    """Reads a key column of the parts of a zone."""

    zone: Zone
    column: str

    def of(self, parts: Sequence[Part | StarPart]) -> list[pa.ChunkedArray]:
        """The column of each part.

        Raises:
            PartSchemaError: a part does not have it.
        """
        return [self._of(part.path) for part in parts]

    def deleted_in(self, parts: Sequence[Part]) -> list[pa.ChunkedArray]:
        """The keys of rows that were deleted, from parts like `LOGGED_SCHEMA`."""
        tables = [self.zone.read_part(part.path, columns=["key", "is_deleted"]) for part in parts]
        return [table.filter(table.column("is_deleted")).column("key") for table in tables]

    def _of(self, path: str) -> pa.ChunkedArray:
        rows = self.zone.read_part(path, columns=[self.column])
        if self.column not in rows.column_names:
            raise PartSchemaError(f"The part {path} in {self.zone.url} does not have the column {self.column}.")
        return rows.column(self.column)


def _counting_rows(
    history: History[P], read: Callable[[P], pa.Table], keys: _Keys, live_keys: _Keys
) -> Iterator[pa.Table]:
    """The rows of a history that count, part by part. Reads each part twice, first for its keys."""
    if history.is_whole:
        yield from map(read, history.parts)
        return
    lists = (
        ListedKeys(live_keys.deleted_in(listed.parts), None, listed.until, are_gone=True)
        if listed.is_logged
        else ListedKeys(live_keys.of(listed.parts), listed.ranges, listed.until)
        for listed in history.lists
    )
    positions = newest_rows(keys.of(history.parts), lists)
    for part, counting in zip(history.parts, positions, strict=True):
        if len(counting):
            yield read(part).take(counting)


def _stream(schema: pa.Schema, tables: Iterator[pa.Table]) -> pa.RecordBatchReader:
    batches = (batch for table in tables for batch in table.replace_schema_metadata().to_batches())
    return pa.RecordBatchReader.from_batches(schema, batches)
