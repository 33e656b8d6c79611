"""The Arrow side of the declarations: which Arrow type holds which column, exactly."""

from collections.abc import Iterable
from typing import Any

import pyarrow as pa
from sqlalchemy import BigInteger, Boolean, Column, Date, Integer, Numeric, String, Time
from sqlalchemy.dialects.postgresql import TIMESTAMP


def arrow_type(column: Column[Any]) -> pa.DataType:  # noqa: PLR0911 - a table of types
    """The Arrow type that holds every value of a declared column without loss.

    Money is decimal128, never float; enums are strings; timestamps are timestamp[us], PostgreSQL's own resolution,
    whatever the source declares now.

    Raises:
        TypeError: the column has a type that no declaration uses yet.
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
            raise TypeError(f"No Arrow type is declared for {column} of type {other!r}: add one to arrow_type.")


def arrow_schema(columns: Iterable[Column[Any]]) -> pa.Schema:
    """The Arrow schema of some declared columns, in their order, with their nullability."""
    return pa.schema([pa.field(column.name, arrow_type(column), nullable=bool(column.nullable)) for column in columns])


def described(schema: pa.Schema) -> str:
    """The columns of a schema with their types, in words."""
    return ", ".join(f"{field.name} {field.type}{'' if field.nullable else ' not null'}" for field in schema)
