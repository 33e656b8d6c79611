"""The lake's tables as AWS Glue describes them, so that Athena can read them; derived from `schema/` alone.

`terraform/modules/catalogue/` reads the JSON, creates the tables and declares their partitions.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypedDict, Union, get_args, get_origin

import pyarrow as pa
from pydantic import AwareDatetime, BaseModel
from sqlalchemy import Column

from totes_dagster.errors import TotesError
from totes_dagster.lake.manifest import Manifest
from totes_dagster.schema import totesys
from totes_dagster.schema.arrow import arrow_type
from totes_dagster.schema.registry import STAR_TABLES
from totes_dagster.schema.star import remodel_version_of, remodelled_columns

LIVE_KEYS = "_live_keys"
"""Suffix of the tables that hold the live keys of event tables."""


class CatalogueStaleError(TotesError):
    """The catalogue's file does not match the declarations."""


class GlueColumn(TypedDict):
    """A column; `type` in Hive's spelling."""

    name: str
    type: str
    comment: str


class GlueTable(TypedDict):
    """A table; `location` is the folder in its zone that holds the partitions, as `<location>/batch=0000000042/`."""

    description: str
    location: str
    columns: list[GlueColumn]


class GlueCatalogue(TypedDict):
    """All tables by name: those of the two zones, the live keys of event tables, and the log of batches."""

    ingestion: dict[str, GlueTable]
    live_keys: dict[str, GlueTable]
    processed: dict[str, GlueTable]
    batches: GlueTable


_HIVE: Mapping[pa.DataType, str] = {
    pa.int64(): "bigint",
    pa.int32(): "int",
    pa.bool_(): "boolean",
    pa.date32(): "date",
    # Hive has no type for a time of day; Athena reads Parquet's as the integer that it is stored as.
    pa.time64("us"): "bigint",
    pa.timestamp("us"): "timestamp",
    pa.string(): "string",
}

_BATCHES = {
    "format": "Version of the manifests' format.",
    "batch": "Number of the batch.",
    "contract": "Version of the source's catalogue when the batch was taken.",
    "snapshot": "The source snapshot of the batch; taken_at is its time, in UTC, as text.",
    "tables": "For every source table, the location of its newest content, and the batch that brought it.",
    "counted": "The snapshot in which the tables were counted, if that is another than the batch's own.",
    "log": "Up to where the source's write-ahead log was taken; null unless changes are captured from there.",
}


def glue_catalogue() -> GlueCatalogue:
    """Every table of the lake that Athena can read, as declared."""
    events = [table for table in totesys.SOURCE_TABLES.values() if totesys.capture_of(table) is totesys.Capture.CHANGES]
    return {
        "ingestion": {
            table.name: _table(f"{table.comment} As captured, batch by batch.", table.name, table.columns)
            for table in totesys.SOURCE_TABLES.values()
        },
        "live_keys": {
            table.name + LIVE_KEYS: _table(
                f"Live keys of {table.name}, in each batch before which rows may have been deleted: those in the "
                "ranges that the batch's manifest names as live_ranges, or all if it names none. One row per key.",
                f"live_keys/{table.name}",
                table.primary_key.columns,
            )
            for table in events
        },
        "processed": {
            table.name: _table(
                f"{table.comment} As remodelled, batch by batch.",
                f"{table.name}/v{remodel_version_of(table)}",
                remodelled_columns(table),
            )
            for table in STAR_TABLES.values()
        },
        "batches": {
            "description": "The log of batches. One row per committed batch, which is its manifest.",
            "location": "batches",
            "columns": [
                {"name": name, "type": json_type(field.annotation), "comment": _BATCHES[name]}
                for name, field in Manifest.model_fields.items()
            ],
        },
    }


def to_json(catalogue: GlueCatalogue) -> str:
    """A catalogue as the text of its file."""
    return json.dumps(catalogue, indent=1, ensure_ascii=False) + "\n"


def check_current(path: Path) -> None:
    """Check that a catalogue's file matches the declarations.

    Raises:
        CatalogueStaleError: the file differs, or cannot be read.
    """
    try:
        found = path.read_text(encoding="utf-8")
    except OSError as error:
        raise CatalogueStaleError(f"{path} cannot be read: {error.strerror}. {_remedy(path)}") from error
    if found != to_json(glue_catalogue()):
        raise CatalogueStaleError(f"{path} does not match the declarations. {_remedy(path)}")


def hive_type(column: Column[Any]) -> str:
    """The Hive type with which Athena reads a declared column from Parquet.

    Raises:
        TypeError: no Hive type is known for its Arrow type.
    """
    type_ = arrow_type(column)
    if pa.types.is_decimal128(type_):
        return f"decimal({type_.precision},{type_.scale})"
    if type_ not in _HIVE:
        raise TypeError(f"No Hive type is known for {type_} of {column}: add one that Athena can read to _HIVE.")
    return _HIVE[type_]


def json_type(annotation: Any) -> str:  # noqa: PLR0911 - a table of types
    """The Hive type with which Athena reads a field of a Pydantic model from JSON.

    Timestamps are text: a JSON SerDe parses only some spellings of ISO 8601.

    Raises:
        TypeError: no Hive type is known for the annotation.
    """
    inner = [argument for argument in get_args(annotation) if argument not in (NoneType, Ellipsis)]
    match get_origin(annotation) or annotation:
        case origin if origin is Union or origin is UnionType:
            return json_type(*inner)
        case origin if origin is Literal:
            return json_type(type(inner[0]))
        case origin if isinstance(origin, type) and issubclass(origin, BaseModel):
            fields = (f"{name}:{json_type(field.annotation)}" for name, field in origin.model_fields.items())
            return f"struct<{','.join(fields)}>"
        case origin if isinstance(origin, type) and issubclass(origin, Mapping):
            return f"map<{','.join(map(json_type, inner))}>"
        case origin if origin is AwareDatetime or (isinstance(origin, type) and issubclass(origin, (str, Enum))):
            return "string"
        case origin if isinstance(origin, type) and issubclass(origin, Sequence):
            return f"array<{json_type(*inner)}>"
        case origin if origin is bool:
            return "boolean"
        case origin if origin is int:
            return "bigint"
        case other:
            raise TypeError(f"No Hive type is known for {other!r} in a manifest: add one to json_type.")


def _table(description: str, location: str, columns: Iterable[Column[Any]]) -> GlueTable:
    return {"description": description, "location": location, "columns": [_column(column) for column in columns]}


def _column(column: Column[Any]) -> GlueColumn:
    comment = str(column.comment)
    if pa.types.is_time(arrow_type(column)):
        comment = f"{comment} In microseconds since midnight."
    return {"name": column.name, "type": hive_type(column), "comment": comment}


def _remedy(path: Path) -> str:
    return f"Write it again and commit it: totes glue --write {path}"
