"""Existing warehouses: what they may look like before a migration, and must look like after it.

The changes themselves are in `versions/`, except lifting length limits of text, which only adopted tables have.
"""

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import sql

from totes_dagster.errors import WarehouseSchemaError
from totes_dagster.postgres.types import sql_type
from totes_dagster.schema.bookkeeping import (
    commit_time,
    feed_file,
    feed_history,
    feed_quarantine,
    load_history,
    quarantine,
)
from totes_dagster.schema.feeds import rate_on_day
from totes_dagster.schema.registry import FACTS, FEED_FACTS, STAR_TABLES
from totes_dagster.schema.star import current_view_of
from totes_dagster.schema.views import VIEWS
from totes_dagster.warehouse.migrations.views import recreated_views

_TEXT_TYPES = {"character varying", "text"}

_FEED_TABLES = (rate_on_day, feed_history, feed_file, feed_quarantine)

_ADDED = {
    "0001": [load_history.name, *map(current_view_of, FACTS.values())],
    "0002": [quarantine.name],
    "0006": [*FEED_FACTS, *map(current_view_of, FEED_FACTS.values()), *(table.name for table in _FEED_TABLES)],
    "0007": [*VIEWS],
    "0008": [commit_time.name],
}
"""What each migration adds under a name of its own, besides the star tables of the first."""


def refuse_foreign_names(connection: psycopg.Connection[Any], schema: str, before: str | None) -> None:
    """Refuse a schema that already uses a name which the migrations to come add.

    Only plain star tables may be there before the first one: it adopts them.

    Args:
        connection: to the warehouse.
        schema: the schema.
        before: the revision that the schema is at; None if it has none.

    Raises:
        WarehouseSchemaError: such a name is in use.
    """
    ours = [name for revision, names in _ADDED.items() if before is None or revision > before for name in names]
    for (name,) in connection.execute(
        "select relname from pg_class where relnamespace = %s::regnamespace and relname = any(%s)",
        [sql.Identifier(schema).as_string(connection), ours],
    ):
        raise WarehouseSchemaError(
            f"The warehouse's schema {schema} has a {name} that is not the platform's. Rename it, or set "
            "WAREHOUSE_SCHEMA to a schema of the platform's own."
        )


def allow_any_text(connection: psycopg.Connection[Any], schema: str) -> None:
    """Make sure that every text of the source fits: check the encoding, and lift length limits of adopted columns.

    Raises:
        WarehouseSchemaError: the database's encoding cannot hold every text, or a view that reads such a column cannot
            be re-created.
    """
    ((encoding,),) = connection.execute("select current_setting('server_encoding')").fetchall()
    if encoding != "UTF8":
        raise WarehouseSchemaError(
            f"The warehouse's database has the encoding {encoding}, which cannot hold every text of the source. "
            "Create a database with encoding UTF8."
        )
    limited = connection.execute(
        """
        select relname, attname from pg_class join pg_attribute on attrelid = pg_class.oid
        where relnamespace = %s::regnamespace and relkind in ('r', 'p') and relname = any (%s)
          and atttypid = 'varchar'::regtype and atttypmod >= 0 and attnum > 0 and not attisdropped
        """,
        [sql.Identifier(schema).as_string(connection), list(STAR_TABLES)],
    ).fetchall()
    with recreated_views(connection, limited):
        for table, column in limited:
            connection.execute(
                sql.SQL("alter table {} alter column {} type varchar").format(
                    sql.Identifier(table), sql.Identifier(column)
                )
            )


def check(connection: psycopg.Connection[Any], schema: str, *, migrated: bool) -> None:
    """Compare the warehouse with the declaration; before a migration, what it will change may still differ.

    Raises:
        WarehouseSchemaError: a column is missing or has another type, or a record id is not generated.
    """
    rows = connection.execute(
        """
        select relname, attname, format_type(atttypid, null), format_type(atttypid, atttypmod),
               (atthasdef or attidentity <> '')
               and pg_get_serial_sequence(quote_ident(nspname) || '.' || quote_ident(relname), attname) is not null
        from pg_class join pg_attribute on attrelid = pg_class.oid
        join pg_namespace on relnamespace = pg_namespace.oid
        where nspname = %s and relkind in ('r', 'p') and attnum > 0 and not attisdropped
        """,
        [schema],
    ).fetchall()
    found: dict[str, dict[str, tuple[str, str, bool]]] = {}
    for table, column, *type_ in rows:
        found.setdefault(table, {})[column] = (type_[0], type_[1], type_[2])
    facts = FACTS | FEED_FACTS
    for name, table in (STAR_TABLES | FEED_FACTS).items():
        if name not in found and not migrated:
            continue
        for column in table.columns:
            if column.name not in found.get(name, {}):
                if not migrated:
                    continue
                raise WarehouseSchemaError(
                    f"The warehouse's {name} has no column {column.name}. Rename the existing {name}, or set "
                    "WAREHOUSE_SCHEMA to a schema of the platform's own."
                )
            base, full, generated = found[name][column.name]
            expected = sql_type(column)
            is_record_id = name in facts and column.primary_key
            is_to_be_widened = is_record_id and full == "integer" and not migrated
            # A text column may have any text type and length; all other types must be exactly as declared.
            if full != expected and not {base, expected} <= _TEXT_TYPES and not is_to_be_widened:
                raise WarehouseSchemaError(f"The warehouse's {name}.{column.name} is {full}, but must be {expected}.")
            if is_record_id and not generated:
                raise WarehouseSchemaError(
                    f"The warehouse's {name}.{column.name} is not generated by its own sequence. Make it serial or an "
                    "identity column, or make it the owner of its sequence with alter sequence … owned by."
                )


def describe(connection: psycopg.Connection[Any]) -> None:
    """Store the declaration's descriptions as comments in the database, for users of other tools.

    An existing comment stays: it may be the owner's. A migration that changes a description removes the old one.
    """
    for table in (*STAR_TABLES.values(), *FEED_FACTS.values(), *_FEED_TABLES, load_history, quarantine, commit_time):
        columns = {column.name: str(column.comment) for column in table.columns}
        _describe(connection, sql.SQL("table"), table.name, str(table.comment), columns)
    for view in VIEWS.values():
        _describe(connection, sql.SQL("view"), view.name, view.comment, view.columns)


def _describe(
    connection: psycopg.Connection[Any], kind: sql.SQL, name: str, comment: str, columns: Mapping[str, str]
) -> None:
    identifier = sql.Identifier(name)
    present = dict(
        connection.execute(
            "select objsubid, description from pg_description "
            "where classoid = 'pg_class'::regclass and objoid = %s::regclass",
            [identifier.as_string(connection)],
        ).fetchall()
    )
    if 0 not in present:
        connection.execute(sql.SQL("comment on {} {} is {}").format(kind, identifier, sql.Literal(comment)))
    numbers = dict(
        connection.execute(
            "select attname, attnum from pg_attribute where attrelid = %s::regclass and attnum > 0",
            [identifier.as_string(connection)],
        ).fetchall()
    )
    for column, description in columns.items():
        if numbers[column] not in present:
            connection.execute(
                sql.SQL("comment on column {} is {}").format(sql.Identifier(name, column), sql.Literal(description))
            )
