"""A short notation for tables, to write down what a schema must be without repeating how it is declared.

One table per line: `name: column type, column type? -> referenced.column, …`. `?` marks a nullable column, `*` the
primary key.
"""

import re

from sqlalchemy import MetaData
from sqlalchemy.dialects import postgresql

_TYPES = {
    "int": "INTEGER",
    "bigint": "BIGINT",
    "varchar": "VARCHAR",
    "varchar(3)": "VARCHAR(3)",
    "text": "TEXT",
    "date": "DATE",
    "time": "TIME WITHOUT TIME ZONE",
    "stamp": "TIMESTAMP(3) WITHOUT TIME ZONE",
    "stamptz": "TIMESTAMP WITH TIME ZONE",
    "moment": "TIMESTAMP WITHOUT TIME ZONE",
    "money": "NUMERIC(10, 2)",
    "target": "NUMERIC(14, 2)",
    "rate": "NUMERIC(18, 8)",
    "bool": "BOOLEAN",
    "jsonb": "JSONB",
}

_COLUMN = re.compile(r"(?P<name>\w+) (?P<type>[\w()\"]+?)(?P<mark>[?*]?)(?: -> (?P<target>[\w.]+))?")

Described = dict[str, list[tuple[str, str, str, str]]]
"""By table, in order: name, type, mark (nullable or primary key) and referenced column of each column."""


def written(notation: str) -> Described:
    """The tables that some lines of the notation describe."""
    tables: Described = {}
    for line in notation.strip().splitlines():
        name, columns = line.split(": ")
        found = [_COLUMN.fullmatch(column) for column in columns.split(", ")]
        tables[name] = [
            (match["name"], _TYPES.get(match["type"], match["type"]), match["mark"], match["target"] or "")
            for match in found
            if match
        ]
        assert len(tables[name]) == len(found), f"not in the notation: {line}"
    return tables


def declared(metadata: MetaData) -> Described:
    """The tables of a declaration, in the same terms."""
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves this one untyped
    return {
        table.name: [
            (
                column.name,
                column.type.compile(dialect=dialect),
                "*" if column.primary_key else "?" if column.nullable else "",
                ", ".join(key.target_fullname for key in column.foreign_keys),
            )
            for column in table.columns
        ]
        for table in metadata.tables.values()
    }
