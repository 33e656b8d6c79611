"""A source that kept no constraint, and the odd values that its columns may then hold."""

from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import Boolean, Column, Integer, Numeric
from sqlalchemy.dialects.postgresql import TIMESTAMP

from totes_dagster.schema.totesys import SOURCE_TABLES

_INTEGERS = [None, "0", "-1", "2147483647", "2147483648", "-2147483648", "-2147483649", str(2**63 - 1), str(-(2**63))]
_NUMERICS = [
    *[None, "NaN", "Infinity", "-Infinity", "0", "-0.00", "0.01", "-0.01", "1.5", "1.50000", "1.005", "0.001"],
    *["99999999.99", "-99999999.99", "99999999.995", "100000000", "1e8", "1e1000", "1e-1000"],
    *[f"8.{'0' * 40}5", f"45803.{'0' * 77}", f"96.{'0' * 37}", "12345678901234567890123456789012345678901.5"],
]
_MOMENTS = [
    *[None, "infinity", "-infinity", "12000-01-01", "294276-12-31 23:59:59.999999", "294246-12-31", "294247-01-11"],
    *["4714-11-24 BC", "0001-12-31 BC", "10000-01-01", "1969-12-31 23:59:59.999999", "2024-02-29 12:34:56.789012"],
    *["1900-01-01", "2262-04-12", "2000-01-01 00:00:00.000001"],
]
# A calendar from year 1 to 9999 has millions of days, and takes its time; that dates of these years are read as they
# are is claimed in `model/`.
_DATES = [
    *[None, "", " ", "soon", "2023-02-30", "2024-02-29", "2100-02-29", "1900-02-28", "2023-1-1", "20230101", "now"],
    *[" 2023-01-01", "2023-01-01 ", "2023-01-01\n", "\uff12023-01-01", "0000-01-01", "10000-01-01", "-0001-01-01"],
    *["2023-13-01", "2023-01-01T00:00:00", "infinity", "2023-W01-1", "2262-12-31"],
]
_TEXTS = [
    *[None, "", " ", "\t\n\r", "'", '"', "\\", "\\N", "\\.", "%s", "{}", "null", "NaN", ",", ";--", "\x01\x1b\x7f"],
    *[
        "\u0085\u2028\ufeff",
        "e\u0301",
        "é",
        "李",
        "🧵",
        "\U0010ffff",
        "\uffff",
        "\ue000",
        "\u202eabc",
        "ﷺ",
        "x" * 100_000,
    ],
]


def odd_values(column: Column[Any]) -> list[str | None]:
    """Texts of values that a column may hold once it kept no constraint, and its type became as wide as it may."""
    match column.type:
        case Integer():
            return _INTEGERS
        case Numeric():
            return _NUMERICS
        case Boolean():
            return [None, "true", "false"]
        case TIMESTAMP():
            return _MOMENTS
    return _DATES if column.name.endswith("_date") else _TEXTS


def set_free(url: str, *, keyed: bool) -> None:
    """Make a source's tables anew, with wide types, their columns in another order, and no constraint but their keys.

    Its rows as they were are kept in the schema `attic`.
    """
    with psycopg.connect(url) as connection:
        connection.execute("create schema attic")
        for name, table in SOURCE_TABLES.items():
            columns = sorted(table.columns, key=lambda column: column.name[::-1])
            selected = sql.SQL(", ").join(
                sql.SQL("{0}::{1} as {0}").format(sql.Identifier(column.name), sql.SQL(_wide_type(column)))
                for column in columns
            )
            former, kept = sql.Identifier(name), sql.Identifier("attic", name)
            connection.execute(sql.SQL("create table {} as select {} from {}").format(kept, selected, former))
            connection.execute(sql.SQL("drop table {} cascade").format(former))
            connection.execute(sql.SQL("create table {} as table {}").format(former, kept))
            if keyed:
                key = sql.Identifier(f"{name}_id")
                connection.execute(sql.SQL("alter table {} add primary key ({})").format(former, key))


def mend(url: str) -> None:
    """Make every row what it was before it was set free."""
    with psycopg.connect(url) as connection:
        for name in SOURCE_TABLES:
            table, kept = sql.Identifier(name), sql.Identifier("attic", name)
            connection.execute(sql.SQL("delete from {}").format(table))
            connection.execute(sql.SQL("insert into {} select * from {}").format(table, kept))


def _wide_type(column: Column[Any]) -> str:
    match column.type:
        case Integer():
            return "bigint"
        case Numeric():
            return "numeric"
        case Boolean():
            return "boolean"
        case TIMESTAMP():
            return "timestamp"
    return "text"
