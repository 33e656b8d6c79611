"""Which rows a batch ends: keys that the source no longer has, and rows that were in quarantine and no longer are."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from totes_dagster.errors import PartSchemaError
from totes_dagster.lake.manifest import Manifest, TableEntry
from totes_dagster.lake.store import Lake
from totes_dagster.remodel.run import driving_table
from totes_dagster.schema.totesys import TABLES, Capture, key_of
from totes_dagster.schema.warehouse import quarantine
from totes_dagster.warehouse.batch_rows import Incoming
from totes_dagster.warehouse.load_transaction import LoadTransaction
from totes_dagster.warehouse.streams import Parts, described


def live_keys(ingestion: Lake, source: str, entry: TableEntry) -> Parts | None:
    """The keys that a source table still has, where a batch knows them; quarantined rows are not gone."""
    parts = entry.parts if entry.content is Capture.WHOLE else entry.live_keys
    if parts is None:
        return None
    return ((part.path, _keys(ingestion, source, part.path)) for part in parts)


def settle_quarantine(transaction: LoadTransaction, manifest: Manifest, incoming: Incoming) -> None:
    """Bring the warehouse's list of quarantined rows up to date with what a batch brings, after it was read."""
    source = driving_table(incoming.star)
    entry = manifest.tables[source]
    if entry.content is Capture.WHOLE:
        transaction.release_quarantined(source, None)
    elif open_keys := transaction.quarantined_keys(source):
        transaction.release_quarantined(source, _settled(open_keys, entry, incoming.ingestion, source))
    if incoming.aside:
        rows = pa.concat_tables(incoming.aside)
        transaction.append(quarantine, iter([(incoming.aside[0].column("part")[0].as_py(), rows)]))


def _settled(open_keys: set[int], entry: TableEntry, ingestion: Lake, source: str) -> set[int]:
    """Of the keys in quarantine, those of which the batch has a new word."""
    brought = _all(_keys(ingestion, source, part.path) for part in entry.parts)
    live = live_keys(ingestion, source, entry)
    gone = set() if live is None else open_keys - _all(keys for _, keys in live)
    return (open_keys & brought) | gone


def _keys(ingestion: Lake, source: str, path: str) -> pa.Table:
    key = key_of(TABLES[source])
    keys = ingestion.read_part(path, columns=[key])
    if keys.schema.names != [key] or keys.schema.types != [pa.int32()]:
        raise PartSchemaError(
            f"The part {path} in {ingestion.url} does not have the keys of {source}. Found: {described(keys.schema)}. "
            f"Expected: {key} int32. Restore it from the bucket's versions."
        )
    return pa.table({key: pc.drop_null(keys.column(key))}, pa.schema([pa.field(key, pa.int32(), nullable=False)]))


def _all(tables: Iterator[pa.Table]) -> set[int]:
    return {key for table in tables for key in table.column(0).to_pylist()}
