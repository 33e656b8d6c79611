"""The ingestion zone: the paths of its parts, and what they contain besides the source's columns."""

import json
from collections.abc import Mapping
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq

from totes_dagster.schema.totesys import SOURCE_TABLES

UNDECLARED = "undeclared"
"""Folder of the undeclared tables."""

UNFIT_VALUES = "_unfit_values"
"""Column of a part that names the columns whose value does not fit their type: a JSON object of reasons by column name,
or null.

Such a value is null in its own column. A part without unfit values does not have this column. A source column of this
name, which no table declares, is not captured.
"""

UNFIT_VALUES_TYPE = pa.string()

LOGGED_SCHEMA = pa.schema(
    [
        pa.field("key", pa.int32(), nullable=False),
        pa.field("is_deleted", pa.bool_(), nullable=False),
        pa.field("committed_at", pa.timestamp("us", "UTC"), nullable=False),
    ]
)
"""What a batch from the write-ahead log says of each row that it changes: its primary key, whether it was deleted, and
when the change was committed."""

_UNFIT_VALUES_BEFORE = "unfit: values of this row that the types of their columns cannot hold"
"""The column's name in parts that older versions of the platform wrote."""


def folder_of(table: str, batch: int) -> str:
    """Folder of a batch's parts of a source table. The name of an undeclared table may be any text."""
    name = table if table in SOURCE_TABLES else f"{UNDECLARED}/{quote(table, safe='').replace('.', '%2E')}"
    return f"{name}/batch={batch:010}"


def live_keys_folder_of(table: str, batch: int) -> str:
    """Folder of the parts with a source table's live keys."""
    return f"live_keys/{folder_of(table, batch)}"


def logged_folder_of(table: str, batch: int) -> str:
    """Folder of the parts that say of a source table's changes when they were committed."""
    return f"logged/{folder_of(table, batch)}"


def key_ranges_folder_of(table: str, batch: int) -> str:
    """Folder of the object that counts a source table's keys by ranges."""
    return f"key_ranges/{folder_of(table, batch)}"


def encoded_keys(keys: pa.Table) -> pa.Buffer:
    """Sorted keys as the bytes of a part: where they are dense, a hundred of them take less than a byte."""
    sink = pa.BufferOutputStream()
    encoding = dict.fromkeys(keys.column_names, "DELTA_BINARY_PACKED")
    pq.write_table(
        keys, sink, compression="zstd", use_dictionary=False, column_encoding=encoding, write_page_checksum=True
    )
    return sink.getvalue()


def is_undeclared(path: str) -> bool:
    """Whether a part was written before its table was declared."""
    return path.startswith(f"{UNDECLARED}/")


def columns_to_read(names: list[str]) -> list[str]:
    """The columns of a part to read in order to get some columns of its table."""
    return [*names, UNFIT_VALUES, _UNFIT_VALUES_BEFORE]


def with_unfit_values(rows: pa.Table) -> pa.Table:
    """Rows of a part with the column `UNFIT_VALUES`, which is added if the part does not have it."""
    if UNFIT_VALUES in rows.column_names:
        return rows
    if _UNFIT_VALUES_BEFORE in rows.column_names:
        return rows.rename_columns({_UNFIT_VALUES_BEFORE: UNFIT_VALUES})
    return rows.append_column(UNFIT_VALUES, pa.nulls(rows.num_rows, UNFIT_VALUES_TYPE))


def without_empty_unfit_values(rows: pa.Table) -> pa.Table:
    """Rows as they are written to a part: without the column `UNFIT_VALUES` if it is null in every row."""
    is_empty = UNFIT_VALUES in rows.column_names and rows.column(UNFIT_VALUES).null_count == rows.num_rows
    return rows.drop_columns(UNFIT_VALUES) if is_empty else rows


def unfit_values_from(text: str | None) -> dict[str, str]:
    """The reasons by column in a value of `UNFIT_VALUES`."""
    return dict(json.loads(text)) if text else {}


def unfit_values_text(reasons: Mapping[str, str]) -> str | None:
    """Reasons by column as a value of `UNFIT_VALUES`."""
    return json.dumps(reasons) if reasons else None
