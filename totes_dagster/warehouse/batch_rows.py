"""What a batch brings to the warehouse: an account of its rows, and the keys that live in the source.

Reads only the lake; `load.py` writes to the warehouse.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from totes_dagster.errors import PartSchemaError, RowsRepeatedError, RowsUnaccountedError
from totes_dagster.lake.ingested import LOGGED_SCHEMA
from totes_dagster.lake.key_ranges import range_of
from totes_dagster.lake.key_set import KeySet
from totes_dagster.lake.manifest import Part, TableEntry
from totes_dagster.lake.processed import StarPart
from totes_dagster.lake.zone import Zone
from totes_dagster.schema.arrow import described
from totes_dagster.schema.registry import FACTS, STAR_TABLES, driving_table_of
from totes_dagster.schema.star import natural_key_of
from totes_dagster.schema.totesys import SOURCE_TABLES, Capture, key_of
from totes_dagster.warehouse.parts import PartRows
from totes_dagster.warehouse.totals import newest_stamp_of


@dataclass
class Account:
    """Counts the rows of one star table in a batch: each row ingested must be staged, or be in quarantine.

    A batch brings one version of a row, so the keys must differ; `repeated` counts those that occur before. Where
    workers have staged the rows, they or the warehouse have counted them.
    """

    star: str
    batch: int
    ingested: int = 0
    staged: int = 0
    quarantined: int = 0
    repeated: int = 0
    keys: KeySet = field(default_factory=KeySet, repr=False)
    newest_stamp: datetime | None = None

    def add_part(self, part: StarPart, contents: PartRows) -> None:
        """Count the rows of a part, except for those staged, which the database counts."""
        self.ingested += part.ingested_rows
        self.quarantined += contents.quarantined.num_rows
        if driving_table_of(self.star) is not None:
            keys = contents.rows.column(natural_key_of(STAR_TABLES[self.star]))
            self.repeated += sum(len(self.keys.add(chunk)) for chunk in keys.chunks)
        if self.star in FACTS:
            self.see(newest_stamp_of(contents.rows))

    def see(self, stamp: datetime | None) -> None:
        """Note the latest `last_updated` of a part."""
        if stamp is not None and (self.newest_stamp is None or stamp > self.newest_stamp):
            self.newest_stamp = stamp

    def check(self, processed: Zone) -> None:
        """Refuse a batch with lost or doubled rows. The calendar has no source rows to count.

        The last word on this: a part that the load itself had remodelled has passed no other check.

        Raises:
            RowsUnaccountedError: the rows staged and quarantined do not add up to the rows ingested.
            RowsRepeatedError: rows share a key.
        """
        driving = driving_table_of(self.star)
        if driving is None:
            return
        if self.ingested != self.staged + self.quarantined:
            raise RowsUnaccountedError(
                f"Batch {self.batch} has {self.ingested} rows of {driving}, but {self.staged} of them arrived for "
                f"{self.star}, and {self.quarantined} are in quarantine. The batch was not loaded. Remove its parts of "
                f"{self.star} from {processed.url}, so that the next load remodels them, or restore them from the "
                "bucket's versions."
            )
        if self.repeated:
            raise RowsRepeatedError(
                f"Batch {self.batch} has several rows of {self.star} with the same "
                f"{natural_key_of(STAR_TABLES[self.star])}: {self.staged:,} rows, but {self.staged - self.repeated:,} "
                f"keys. The batch was not loaded. Correct the function {self.star} in totes_dagster/remodel/tables/, "
                "and raise the table's version, so that the next refresh remodels it."
            )


def live_keys(ingestion: Zone, source: str, entry: TableEntry) -> Iterator[pa.Table] | None:
    """The keys that a source table still has in `live_ranges`, part by part; None if the batch does not list them.

    They include the keys of rows in quarantine.
    """
    parts = entry.parts if entry.content is Capture.WHOLE else entry.live_keys
    return None if parts is None else (read_keys(ingestion, source, part) for part in parts)


def live_ranges(entry: TableEntry) -> tuple[int, ...] | None:
    """The ranges of which a batch lists the live keys, if it lists any; None for all of them."""
    return None if entry.content is Capture.WHOLE else entry.live_ranges


def logged_changes(ingestion: Zone, entry: TableEntry) -> Iterator[pa.Table]:
    """What a batch from the write-ahead log says of the rows that it changes, part by part; see `LOGGED_SCHEMA`.

    Raises:
        PartSchemaError: a part has other columns.
    """
    for part in entry.logged:
        changes = ingestion.read_part(part.path)
        if not changes.schema.equals(LOGGED_SCHEMA):
            raise PartSchemaError(
                f"The part {part.path} in {ingestion.url} does not have the changes of the log. Found: "
                f"{described(changes.schema)}. Restore it from the bucket's versions."
            )
        yield changes


def keys_leaving_quarantine(ingestion: Zone, source: str, entry: TableEntry, quarantined: set[int]) -> set[int]:
    """The quarantined keys whose row a batch brings again, or shows to be deleted.

    Args:
        ingestion: the zone with the batch's parts.
        source: the source table.
        entry: the batch's entry for that table, which holds changes.
        quarantined: the keys in quarantine before this batch.
    """
    brought = _among(quarantined, (read_keys(ingestion, source, part) for part in entry.parts))
    live = live_keys(ingestion, source, entry)
    ranges = live_ranges(entry)
    covered = {key for key in quarantined if ranges is None or range_of(key) in ranges}
    deleted = set() if live is None else covered - _among(quarantined, live)
    logged = logged_changes(ingestion, entry)
    deleted |= _among(quarantined, (changes.filter(changes.column("is_deleted")).select(["key"]) for changes in logged))
    return brought | deleted


def read_keys(ingestion: Zone, source: str, part: Part) -> pa.Table:
    """The keys in a part of a source table, without nulls.

    Raises:
        PartSchemaError: the part has no key column, or one of another type.
    """
    key = key_of(SOURCE_TABLES[source])
    keys = ingestion.read_part(part.path, columns=[key])
    if keys.schema.names != [key] or keys.schema.types != [pa.int32()]:
        raise PartSchemaError(
            f"The part {part.path} in {ingestion.url} does not have the keys of {source}. Found: "
            f"{described(keys.schema)}. Expected: {key} int32. Restore it from the bucket's versions."
        )
    return pa.table({key: pc.drop_null(keys.column(key))}, pa.schema([pa.field(key, pa.int32(), nullable=False)]))


def _among(keys: set[int], tables: Iterable[pa.Table]) -> set[int]:
    """Those of some keys that are in the first column of tables; no more of the tables is remembered."""
    wanted = pa.array(sorted(keys), pa.int32())
    columns = (table.column(0) for table in tables)
    return {key for column in columns for key in column.filter(pc.is_in(column, value_set=wanted)).to_pylist()}
