"""What a batch brings to the warehouse: the rows of its parts, the rows in quarantine, and the source's live keys."""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from totes_dagster.errors import PartMissingError, PartSchemaError, RowsUnaccountedError
from totes_dagster.lake.manifest import Part, TableEntry
from totes_dagster.lake.processed import RowCounts, StarPart, star_schema
from totes_dagster.lake.zone import Zone
from totes_dagster.remodel.quarantine import REASON
from totes_dagster.schema.arrow import arrow_schema, described
from totes_dagster.schema.bookkeeping import quarantine
from totes_dagster.schema.registry import driving_table_of, inputs_of
from totes_dagster.schema.totesys import SOURCE_TABLES, Capture, key_of


class NotRemodelledError(PartMissingError):
    """A part of the processed zone, or its quarantine, does not exist: it was not remodelled yet, or was lost.

    Attributes:
        part: the part.
    """

    def __init__(self, message: str, part: StarPart) -> None:
        super().__init__(message)
        self.part = part


@dataclass(frozen=True)
class PartRows:
    """The contents of a part of the processed zone.

    Attributes:
        rows: of the star table, in the schema of `star_schema`.
        quarantined: source rows in quarantine, in the columns of the warehouse's table of that name.
    """

    rows: pa.Table
    quarantined: pa.Table


def read_part(part: StarPart, processed: Zone) -> PartRows:
    """Read a part of the processed zone.

    Raises:
        NotRemodelledError: it does not exist.
        PartSchemaError: it does not have the columns of its table.
        PartError: it is damaged.
    """
    try:
        rows = processed.read_part(part.path)
        # Binary COPY does not look at types: one of the same width would be taken for the column's own.
        if not rows.schema.equals(star_schema(part.star)):
            raise PartSchemaError(
                f"The part {part.path} does not have the columns of {part.star}. Found: {described(rows.schema)}. "
                f"Expected: {described(star_schema(part.star))}."
            )
        if not RowCounts.of(rows).quarantined:
            return PartRows(rows, arrow_schema(quarantine.columns).empty_table())
        return PartRows(rows, _listed(part, processed.read_part(part.quarantine)))
    except PartMissingError as error:
        raise NotRemodelledError(str(error), part) from error


@dataclass
class Account:
    """The rows of one star table in a batch, as they are loaded: what was ingested must arrive, or be in quarantine."""

    star: str
    batch: int
    ingested: int = 0
    staged: int = 0
    quarantined: int = 0

    def check(self, processed: Zone) -> None:
        """Refuse a batch of which rows were lost or doubled on the way. The calendar is made of no source rows.

        Raises:
            RowsUnaccountedError: the rows ingested are not those staged and those quarantined.
        """
        driving = driving_table_of(self.star)
        if driving and self.ingested != self.staged + self.quarantined:
            raise RowsUnaccountedError(
                f"Batch {self.batch} has {self.ingested} rows of {driving}, but {self.staged} of them arrived for "
                f"{self.star}, and {self.quarantined} are in quarantine. The batch is not loaded. Remove its parts of "
                f"{self.star} from {processed.url}, or restore them from the bucket's versions; what is missing is "
                "remodelled."
            )


def live_keys(ingestion: Zone, source: str, entry: TableEntry) -> Iterator[pa.Table] | None:
    """The keys that a source table still has, part by part; None where the batch does not know them.

    Rows in quarantine are not gone.
    """
    parts = entry.parts if entry.content is Capture.WHOLE else entry.live_keys
    return None if parts is None else (read_keys(ingestion, source, part) for part in parts)


def keys_leaving_quarantine(ingestion: Zone, source: str, entry: TableEntry, quarantined: set[int]) -> set[int]:
    """Of the keys in quarantine, those whose row a batch brings anew, or knows to be gone.

    Args:
        ingestion: the zone with the batch's parts.
        source: the source table.
        entry: what the batch holds of it: changes.
        quarantined: the keys that are in quarantine now.
    """
    brought = _key_set(read_keys(ingestion, source, part) for part in entry.parts)
    live = live_keys(ingestion, source, entry)
    gone = set() if live is None else quarantined - _key_set(live)
    return (quarantined & brought) | gone


def read_keys(ingestion: Zone, source: str, part: Part) -> pa.Table:
    """The keys in a part of a source table, without null.

    Raises:
        PartSchemaError: it has none, or of another type.
    """
    key = key_of(SOURCE_TABLES[source])
    keys = ingestion.read_part(part.path, columns=[key])
    if keys.schema.names != [key] or keys.schema.types != [pa.int32()]:
        raise PartSchemaError(
            f"The part {part.path} in {ingestion.url} does not have the keys of {source}. Found: "
            f"{described(keys.schema)}. Expected: {key} int32. Restore it from the bucket's versions."
        )
    return pa.table({key: pc.drop_null(keys.column(key))}, pa.schema([pa.field(key, pa.int32(), nullable=False)]))


def _key_set(tables: Iterator[pa.Table]) -> set[int]:
    return {key for table in tables for key in table.column(0).to_pylist()}


def _listed(part: StarPart, quarantined: pa.Table) -> pa.Table:
    """Quarantined rows as the warehouse lists them."""
    source, count = inputs_of(part.star)[0], quarantined.num_rows
    columns = {
        "source_table": pa.repeat(pa.scalar(source), count),
        "source_key": quarantined.column(key_of(SOURCE_TABLES[source])),
        "reason": quarantined.column(REASON),
        "batch": pa.repeat(pa.scalar(part.batch, pa.int64()), count),
        "part": pa.repeat(pa.scalar(part.quarantine), count),
    }
    return pa.table(columns, arrow_schema(quarantine.columns))
