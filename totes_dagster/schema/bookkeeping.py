"""The warehouse's own bookkeeping: which batches were loaded, and which source rows are in quarantine.

The star tables are in `dimensions.py` and `facts.py`.
"""

from sqlalchemy import BigInteger, Column, Integer, String, Table, text
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
    comment="One row per loaded batch, written by the transaction that loaded it.",
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
