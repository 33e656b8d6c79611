"""The warehouse's own bookkeeping: which batches were loaded, and which rows are in quarantine.

The star tables are in `dimensions.py` and `facts.py`.
"""

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table, text
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

from totes_dagster.schema.star import metadata

load_history = Table(
    "load_history",
    metadata,
    Column("batch", BigInteger, primary_key=True, autoincrement=False, comment="Number of the batch."),
    Column(
        "snapshot_at",
        TIMESTAMP(timezone=True),
        nullable=False,
        comment="When the source snapshot was taken: the warehouse shows the source as it was then.",
    ),
    Column(
        "loaded_at",
        TIMESTAMP(timezone=True),
        nullable=False,
        server_default=text("clock_timestamp()"),
        comment="When the batch was loaded.",
    ),
    Column("manifest_sha256", String(), nullable=False, comment="Digest of the batch's manifest in the lake."),
    Column(
        "tables",
        JSONB,
        nullable=False,
        comment="For each star table in the batch: rows ingested, quarantined, staged, new, changed, unchanged, "
        "deleted, and placeholders.",
    ),
    Column(
        "totals",
        JSONB,
        comment="For each star table after the batch: its rows, the placeholders among them, and the newest stamp of a "
        "fact. Null where they were not kept.",
    ),
    comment="One row per loaded batch, written by the transaction that loaded it.",
)

commit_time = Table(
    "commit_time",
    metadata,
    Column("fact", String(), primary_key=True, comment="Name of the fact."),
    Column("batch", BigInteger, primary_key=True, autoincrement=False, comment="Batch that brought the version."),
    Column("key", Integer, primary_key=True, autoincrement=False, comment="Natural key of the row."),
    Column(
        "committed_at",
        TIMESTAMP(timezone=True),
        nullable=False,
        comment="When the source's transaction was committed that made it, or deleted the row.",
    ),
    comment="One row per version of a row that is known from the source's write-ahead log, in which every version is. "
    "Of other versions it is known only that they were there when the snapshot of their batch was taken.",
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("source_table", String(), nullable=False, index=True, comment="Table of the source that the row is in."),
    Column("source_key", Integer(), comment="Its primary key; null where it has none."),
    Column("reason", String(), nullable=False, comment="Why it cannot become a row of the warehouse."),
    Column("batch", BigInteger(), nullable=False, comment="Batch that brought it."),
    Column("part", String(), nullable=False, comment="Object of the processed zone that holds the row as it is."),
    comment="One row per source row that is in quarantine now. It leaves when the source row is corrected or deleted.",
)

feed_history = Table(
    "feed_history",
    metadata,
    Column("feed", String(), primary_key=True, comment="Name of the feed."),
    Column("batch", BigInteger, primary_key=True, autoincrement=False, comment="Number of the batch in that feed."),
    Column(
        "taken_at",
        TIMESTAMP(timezone=True),
        nullable=False,
        comment="When the batch's files were read from the landing zone.",
    ),
    Column(
        "loaded_at",
        TIMESTAMP(timezone=True),
        nullable=False,
        server_default=text("clock_timestamp()"),
        comment="When the batch was loaded.",
    ),
    Column("manifest_sha256", String(), nullable=False, comment="Digest of the batch's manifest in the lake."),
    Column(
        "counts",
        JSONB,
        nullable=False,
        comment="Files taken and refused; rows ingested, quarantined, staged, new, changed, unchanged and outdated.",
    ),
    comment="One row per loaded batch of a feed, written by the transaction that loaded it.",
)

feed_file = Table(
    "feed_file",
    metadata,
    Column("feed", String(), primary_key=True, comment="Name of the feed."),
    Column("path", String(), primary_key=True, comment="The file's path in the landing zone."),
    Column("version", String(), nullable=False, comment="Its version there: the object's ETag."),
    Column("sha256", String(), nullable=False, comment="SHA-256 of its bytes, in hexadecimal."),
    Column("bytes", BigInteger(), nullable=False, comment="Its size."),
    Column("landed_at", TIMESTAMP(timezone=True), nullable=False, comment="When it was written to the landing zone."),
    Column(
        "rows", BigInteger(), nullable=False, comment="Rows in it, those in quarantine included; 0 if it was refused."
    ),
    Column("refused", String(), comment="Why none of its rows was taken; null if it was read to its end."),
    Column(
        "repeats",
        String(),
        comment="Path of the file with the same bytes that was taken before; null if there is none.",
    ),
    Column("batch", BigInteger(), nullable=False, comment="Batch that took this version of it."),
    comment="One row per file that a feed has taken from the landing zone, in its newest version.",
)

feed_quarantine = Table(
    "feed_quarantine",
    metadata,
    Column("feed", String(), nullable=False, comment="Name of the feed."),
    Column("path", String(), nullable=False, comment="The file's path in the landing zone."),
    Column(
        "line",
        BigInteger(),
        nullable=False,
        comment="Line of the file on which the row begins, or its number in a JSON array.",
    ),
    Column(
        "key", String(), comment="What the row is about: the values of its natural key; null if that cannot be told."
    ),
    Column("reason", String(), nullable=False, comment="Why it cannot become a row of the warehouse."),
    Column("batch", BigInteger(), nullable=False, comment="Batch that brought it."),
    Index("feed_quarantine_feed_path_idx", "feed", "path"),
    comment="One row per row of a feed's file that is in quarantine now. It leaves when the file is replaced, or when "
    "another row with its key is loaded.",
)
