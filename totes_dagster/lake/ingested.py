"""The ingestion zone: where its parts lie, and what they hold besides the source's columns."""

import json
from collections.abc import Mapping
from urllib.parse import quote

import pyarrow as pa

from totes_dagster.schema.totesys import SOURCE_TABLES

UNDECLARED = "undeclared"
"""Folder of the tables that are not declared."""

UNFIT_VALUES = "_unfit_values"
"""Column of a part: a JSON object of the columns whose value does not fit their type, each with the reason; or null.

Such a value is null in its own column. A part without any has no such column. A source column of this name, which no
table declares, is not captured.
"""

UNFIT_VALUES_TYPE = pa.string()

_UNFIT_VALUES_BEFORE = "unfit: values of this row that the types of their columns cannot hold"
"""The column's name in parts of older versions of the platform."""


def folder_of(table: str, batch: int) -> str:
    """Where a batch's parts of a source table lie. The name of an undeclared table may be any text."""
    name = table if table in SOURCE_TABLES else f"{UNDECLARED}/{quote(table, safe='').replace('.', '%2E')}"
    return f"{name}/batch={batch:010}"


def live_keys_folder_of(table: str, batch: int) -> str:
    """Where the keys lie that a source table still had."""
    return f"live_keys/{folder_of(table, batch)}"


def is_undeclared(path: str) -> bool:
    """Whether a part was written before its table was declared."""
    return path.startswith(f"{UNDECLARED}/")


def columns_to_read(names: list[str]) -> list[str]:
    """The columns of a part to read for some columns of its table."""
    return [*names, UNFIT_VALUES, _UNFIT_VALUES_BEFORE]


def with_unfit_values(rows: pa.Table) -> pa.Table:
    """Rows of a part with the column `UNFIT_VALUES`, also where the part has none."""
    if UNFIT_VALUES in rows.column_names:
        return rows
    if _UNFIT_VALUES_BEFORE in rows.column_names:
        return rows.rename_columns({_UNFIT_VALUES_BEFORE: UNFIT_VALUES})
    return rows.append_column(UNFIT_VALUES, pa.nulls(rows.num_rows, UNFIT_VALUES_TYPE))


def without_empty_unfit_values(rows: pa.Table) -> pa.Table:
    """Rows as a part holds them: without the column `UNFIT_VALUES` where it is null in every row."""
    is_empty = UNFIT_VALUES in rows.column_names and rows.column(UNFIT_VALUES).null_count == rows.num_rows
    return rows.drop_columns(UNFIT_VALUES) if is_empty else rows


def unfit_values_from(text: str | None) -> dict[str, str]:
    """The reasons by column that a value of `UNFIT_VALUES` gives."""
    return dict(json.loads(text)) if text else {}


def unfit_values_text(reasons: Mapping[str, str]) -> str | None:
    """Reasons by column as a value of `UNFIT_VALUES`."""
    return json.dumps(reasons) if reasons else None
