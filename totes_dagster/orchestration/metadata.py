"""Metadata of materialisations and checks: values that Dagster shows as tables, timestamps and plots."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from dagster import MetadataValue, TableColumn, TableRecord, TableSchema
from dagster import TableMetadataValue as TableOf

PREVIEW = 3
"""Rows of a preview."""


def table_of(rows: Sequence[Mapping[str, object]]) -> TableOf:
    """Rows as a table of text; all must have the columns of the first."""
    columns = list(rows[0]) if rows else []
    records = [TableRecord({name: str(row[name]) for name in columns}) for row in rows]
    return TableOf(records, TableSchema([TableColumn(name) for name in columns]))


def preview_of(rows: pa.Table, columns: Iterable[str]) -> TableOf:
    """The first few rows of these columns. Arrow formats dates and timestamps, of any century."""
    shown = rows.slice(0, PREVIEW).select(list(columns))
    texts = {name: shown.column(name).cast(pa.string()).to_pylist() for name in shown.column_names}
    return table_of([dict(zip(texts, values, strict=True)) for values in zip(*texts.values(), strict=True)])


def as_of(snapshot_at: datetime) -> dict[str, Any]:
    """When the source was in the state that is shown, and how many seconds ago that was."""
    lag = (datetime.now(UTC) - snapshot_at).total_seconds()
    return {"snapshot_at": MetadataValue.timestamp(snapshot_at), "lag_seconds": MetadataValue.float(round(lag, 3))}
