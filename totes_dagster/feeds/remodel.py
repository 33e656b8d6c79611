"""Remodelling a feed's batch: stored rows become rows of its fact, or go to quarantine with the reason.

Which parts a batch becomes follows from its manifest, so missing ones are found by looking for them, and every process
that writes a part writes the same one.
"""

from dataclasses import dataclass

import pyarrow as pa

from totes_dagster.errors import PartMissingError, PartSchemaError
from totes_dagster.feeds.declared import FEEDS, Feed
from totes_dagster.feeds.files import LINE, PATH, QUARANTINE, ingested_schema
from totes_dagster.lake.feed_manifest import FeedManifest, FeedPart, feed_folder
from totes_dagster.lake.zone import Lake, Zone
from totes_dagster.schema.arrow import arrow_schema, described
from totes_dagster.schema.star import key_columns_of, remodel_version_of, remodelled_columns

KEY = "key"
"""Column of a quarantine part: what the row is about, as text; null if it breaks the contract."""


@dataclass(frozen=True)
class FeedPartPath:
    """A part of the processed zone that a feed's batch must have.

    Attributes:
        feed: the feed's name.
        batch: the batch's number.
        number: the number of the part in it.
        source: the part of the ingestion zone that it is computed from.
    """

    feed: str
    batch: int
    number: int
    source: FeedPart

    @property
    def path(self) -> str:
        """Path of the part with the fact's rows."""
        return self._in(feed_folder(self.feed))

    @property
    def quarantine(self) -> str:
        """Path of the part with the rows in quarantine, which may have none."""
        return self._in(f"quarantine/{feed_folder(self.feed)}")

    def _in(self, folder: str) -> str:
        version = remodel_version_of(FEEDS[self.feed].fact)
        return f"{folder}/v{version}/batch={self.batch:010}/part-{self.number:05}.parquet"


@dataclass(frozen=True)
class FeedRows:
    """The rows of a part.

    Attributes:
        rows: rows of the fact, in `fact_schema`, in the order of the files and their lines.
        quarantined: rows in quarantine, in `quarantine_schema`.
    """

    rows: pa.Table
    quarantined: pa.Table


def fact_schema(feed: Feed) -> pa.Schema:
    """The Arrow schema of the fact's rows in the processed zone."""
    return arrow_schema(remodelled_columns(feed.fact))


def quarantine_schema() -> pa.Schema:
    """The Arrow schema of quarantined rows in the processed zone."""
    return QUARANTINE.append(pa.field(KEY, pa.string()))


def parts_of(manifest: FeedManifest) -> list[FeedPartPath]:
    """The parts of the processed zone that a batch must have."""
    return [FeedPartPath(manifest.feed, manifest.batch, number, part) for number, part in enumerate(manifest.parts)]


def take_part(part: FeedPartPath, lake: Lake) -> FeedRows:
    """Read a part of the processed zone; where it is missing, compute and write it.

    Raises:
        PartSchemaError: a part does not have the columns that it must have.
        PartError: a part is damaged, or missing and cannot be computed.
    """
    feed = FEEDS[part.feed]
    try:
        return FeedRows(
            _checked(lake.processed, part.path, fact_schema(feed)),
            _checked(lake.processed, part.quarantine, quarantine_schema()),
        )
    except PartMissingError:
        return remodel_part(part, lake)


def is_remodelled(part: FeedPartPath, processed: Zone) -> bool:
    """Whether the processed zone has a part."""
    return processed.exists(part.path)


def remodel_part(part: FeedPartPath, lake: Lake) -> FeedRows:
    """Compute a part of the processed zone, and write it unless another process did.

    Raises:
        PartError: its source is missing or damaged, or has other columns.
    """
    feed = FEEDS[part.feed]
    ingested = _checked(lake.ingestion, part.source.rows.path, ingested_schema(feed))
    before = part.source.quarantine
    broken = _checked(lake.ingestion, before.path, QUARANTINE) if before else QUARANTINE.empty_table()
    computed = remodel_rows(feed, ingested, broken)
    # The quarantine first: once the rows exist, the part counts as remodelled.
    lake.processed.create_part(part.quarantine, computed.quarantined)
    lake.processed.create_part(part.path, computed.rows)
    return computed


def remodel_rows(feed: Feed, ingested: pa.Table, broken: pa.Table) -> FeedRows:
    """Remodel stored rows, one for one, except for those that are doubted.

    Args:
        feed: the feed.
        ingested: rows in `ingested_schema`.
        broken: rows that break the contract, in `QUARANTINE`.
    """
    from totes_dagster.remodel.frames import to_frame, to_table  # noqa: PLC0415 - brings pandas

    frame = to_frame(ingested)
    doubts = feed.doubts(frame)
    rows = to_table(feed.function(frame), fact_schema(feed))
    doubted = rows.take(pa.array(sorted(doubts), pa.int64()))
    keys = [doubted.column(name).to_pylist() for name in key_columns_of(feed.fact)]
    where = ingested.take(pa.array(sorted(doubts), pa.int64()))
    texts = where.drop_columns([PATH, LINE]).to_pylist()
    set_aside = pa.table(
        {
            PATH: where.column(PATH).cast(pa.string()),
            LINE: where.column(LINE),
            "text": [", ".join(f"{name} {value}" for name, value in text.items()) for text in texts],
            "reason": [doubts[position] for position in sorted(doubts)],
            KEY: [key_text(key) for key in zip(*keys, strict=True)],
        },
        quarantine_schema(),
    )
    kept = pa.array([position not in doubts for position in range(len(rows))], pa.bool_()) if doubts else None
    return FeedRows(
        rows if kept is None else rows.filter(kept),
        pa.concat_tables([broken.append_column(KEY, pa.nulls(len(broken), pa.string())), set_aside]),
    )


def key_text(key: tuple[object, ...]) -> str:
    """What a row is about, as text."""
    return " ".join(map(str, key))


def _checked(zone: Zone, path: str, schema: pa.Schema) -> pa.Table:
    rows = zone.read_part(path)
    if not rows.schema.equals(schema):
        raise PartSchemaError(
            f"The part {path} in {zone.url} does not have the columns that it must have. Found: "
            f"{described(rows.schema)}. Expected: {described(schema)}."
        )
    return rows
