"""Recording the changes of a batch from the log: the parts of each table that they change."""

import uuid
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import pyarrow as pa

from totes_dagster.errors import DatabaseError
from totes_dagster.ingest.parts import write_part, write_parts
from totes_dagster.ingest.wal.slot import LogUnusableError, is_about_server
from totes_dagster.ingest.wal.transactions import Version, Versions
from totes_dagster.lake import ingested
from totes_dagster.lake.key_ranges import range_of
from totes_dagster.lake.manifest import TableEntry
from totes_dagster.lake.source_catalogue import Catalogue
from totes_dagster.lake.zone import Zone
from totes_dagster.runtime.progress import Progress
from totes_dagster.schema.totesys import SOURCE_TABLES, Capture, capture_of, key_of

if TYPE_CHECKING:
    from totes_dagster.ingest.reader import SnapshotReader


class LogRecorder:
    """Writes the parts of batches from the log.

    Args:
        reader: converts values as the source does.
        catalogue: the source's catalogue, which the log agrees with.
        zone: the ingestion zone.
        progress: notified of rows as they are written.
    """

    def __init__(self, reader: "SnapshotReader", catalogue: Catalogue, zone: Zone, progress: Progress) -> None:
        self._reader = reader
        self._catalogue = catalogue
        self._zone = zone
        self._progress = progress
        self._attempt = uuid.uuid4().hex[:12]

    def entries(self, batch: int, versions: Versions, before: Mapping[str, TableEntry]) -> dict[str, TableEntry]:
        """Write the parts of a batch; return the entries of the tables that it changes.

        Args:
            batch: the batch's number.
            versions: the versions of rows that it brings.
            before: the tables' entries in the batch before.

        Raises:
            LogUnusableError: values cannot be converted.
            DatabaseError: the source closed the connection, or cannot work now.
            LakeError: the lake cannot be reached, or refuses.
        """
        try:
            return {name: self._entry(batch, name, rows, before[name]) for name, rows in versions.items() if rows}
        except DatabaseError as error:
            if is_about_server(error):
                raise
            raise LogUnusableError(f"Rows of the log cannot be converted: {error}") from error

    def _entry(self, batch: int, name: str, versions: dict[int, Version], before: TableEntry) -> TableEntry:
        fresh = [version.row for version in versions.values() if version.row is not None]
        rows = self._reader.logged_rows(name, self._catalogue.tables[name], fresh)
        content = capture_of(SOURCE_TABLES[name])
        if content is Capture.WHOLE:
            rows = self._whole(name, before, list(versions), rows)
        parts = write_parts(self._zone, ingested.folder_of(name, batch), self._attempt, rows)
        logged = pa.table(
            [
                pa.array(versions, pa.int32()),
                pa.array([version.row is None for version in versions.values()]),
                pa.array([version.committed_at for version in versions.values()], pa.timestamp("us", "UTC")),
            ],
            ingested.LOGGED_SCHEMA,
        )
        self._progress("ingest", name, len(versions))
        return TableEntry(
            batch=batch,
            content=content,
            census=before.census,
            parts=parts,
            key_ranges=before.key_ranges,
            added_keys=before.added_keys,
            logged_ranges=tuple(sorted({*before.logged_ranges, *map(range_of, versions)})),
            logged=(write_part(self._zone, ingested.logged_folder_of(name, batch), self._attempt, logged),),
        )

    def _whole(
        self, name: str, before: TableEntry, changed: list[int], rows: Iterator[pa.RecordBatch]
    ) -> Iterator[pa.RecordBatch]:
        """All rows of a table: those that it had, and that were not changed, and the new versions."""
        import pyarrow.compute as pc  # noqa: PLC0415 - brings what few refreshes need

        key, keys = key_of(SOURCE_TABLES[name]), pa.array(changed, pa.int32())
        fresh = list(rows)
        for part in before.parts:
            table = ingested.with_unfit_values(self._zone.read_part(part.path))
            kept = table.filter(pc.invert(pc.is_in(table.column(key), keys)))
            if fresh and not kept.schema.equals(fresh[0].schema):
                raise LogUnusableError(f"{name} was captured with other types before.")
            yield from kept.combine_chunks().to_batches()
        yield from fresh
