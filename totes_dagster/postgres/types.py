"""The PostgreSQL side of the declarations: the names of types, and DDL.

The Arrow side is in `schema/arrow.py`.
"""

from typing import Any

from sqlalchemy import Column
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import ExecutableDDLElement

_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves this one untyped


def sql_type(column: Column[Any]) -> str:
    """A column's type as PostgreSQL's `format_type` writes it: `character varying`, `numeric(10,2)`."""
    written = column.type.compile(dialect=_DIALECT).lower()
    return written.replace("varchar", "character varying").replace(", ", ",")


def ddl(element: ExecutableDDLElement) -> str:
    """The statement of a DDL element, such as `CreateTable(table)`."""
    return str(element.compile(dialect=_DIALECT))
