"""The Arrow side of the declarations: which Arrow type represents which column exactly.

The PostgreSQL side is in `postgres/types.py`.
"""

from collections.abc import Iterable
from typing import Any

import pyarrow as pa
from sqlalchemy import BigInteger, Boolean, Column, Date, Integer, Numeric, String, Time
from sqlalchemy.dialects.postgresql import TIMESTAMP


def arrow_type(column: Column[Any]) -> pa.DataType:  # noqa: PLR0911 - a table of types
    """The Arrow type that represents every value of a declared column without loss.

    Money is decimal128, never float; enums are strings; timestamps are timestamp[us], PostgreSQL's own resolution,
    whatever precision the source declares.

    Raises:
        TypeError: no Arrow type is defined for the column's type.
    """
    match column.type:
        case BigInteger():
            return pa.int64()
        case Integer():
            return pa.int32()
        case Boolean():
            return pa.bool_()
        case Numeric(precision=int(precision), scale=int(scale)):
            return pa.decimal128(precision, scale)
        case Date():
            return pa.date32()
        case Time():
            return pa.time64("us")
        case TIMESTAMP(timezone=False):
            return pa.timestamp("us")
        case String():  # also Text and Enum
            return pa.string()
        case other:
            raise TypeError(f"No Arrow type is defined for {column} of type {other!r}: add one to arrow_type.")


def arrow_schema(columns: Iterable[Column[Any]]) -> pa.Schema:
    """The Arrow schema of declared columns, in the given order and with their nullability."""
    return pa.schema([pa.field(column.name, arrow_type(column), nullable=bool(column.nullable)) for column in columns])


def described(schema: pa.Schema) -> str:
    """A schema in words: its columns with their types."""
    return ", ".join(f"{field.name} {field.type}{'' if field.nullable else ' not null'}" for field in schema)
