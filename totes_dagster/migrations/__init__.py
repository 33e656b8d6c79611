"""Migrations of the warehouse, by Alembic; applied by `totes migrate`, and by a load that finds an older warehouse."""

import threading
from pathlib import Path

import psycopg
from psycopg import sql

from totes_dagster.database import Database
from totes_dagster.database_errors import named_error, reason_of
from totes_dagster.errors import (
    DatabaseError,
    DiskFullError,
    WarehouseAheadError,
    WarehouseBehindError,
    WarehouseSchemaError,
)
from totes_dagster.postgres.transactions import transaction
from totes_dagster.schema import warehouse
from totes_dagster.schema.sql import sql_type

_REVISIONS = sorted(path.stem.split("_")[0] for path in (Path(__file__).parent / "versions").glob("[0-9]*.py"))

HEAD = _REVISIONS[-1]
"""The newest revision, by its file's name: Alembic would have to be imported to say so."""

VERSION_TABLE = "totes_warehouse_version"
"""A name of our own: Dagster's storage, which also uses Alembic, may live in the same database."""

_ALEMBIC = threading.Lock()
"""Alembic keeps what it is working on in its module, where another thread's migration would find it."""

_TEXT_TYPES = {"character varying", "text"}


def migrate(database: Database, schema: str) -> str | None:
    """Bring the warehouse's schema up to date: create it, adopt plain tables that are already there, or upgrade.

    Args:
        database: the warehouse.
        schema: the schema that holds its tables; created if it does not exist.

    Returns:
        The revision that it was at before, or None when it had none.

    Raises:
        WarehouseAheadError: the schema is at a revision that this version of the platform does not know.
        WarehouseBehindError: it cannot be brought up to date, as when the user lacks a right.
        WarehouseSchemaError: tables that are already there are not the warehouse's.
        DatabaseError: the server broke off.
    """
    with database.connect() as connection:
        try:
            return _migrate(connection, schema)
        except DatabaseError as error:
            cause = error.__cause__
            if not isinstance(cause, psycopg.Error):
                raise
            if error.transient or isinstance(error, DiskFullError):
                raise named_error(database.name, f"migrating the schema {schema}", cause) from cause
            raise WarehouseBehindError(
                f"The warehouse's schema {schema} cannot be brought up to date: {reason_of(cause)} Nothing was "
                "changed. See that the user may create in it, and that what is there already is the warehouse's."
            ) from cause


def is_migrated(database: Database, schema: str) -> bool:
    """Whether the warehouse's schema is there and up to date."""
    with database.transaction(read_only=True) as connection:
        return _revision(connection, schema) == HEAD


def _migrate(connection: psycopg.Connection, schema: str) -> str | None:
    with transaction(connection, read_only=True):
        before = _revision(connection, schema)
    if before == HEAD:
        return before
    # Slow to import, and needed on few days.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from sqlalchemy import create_engine  # noqa: PLC0415
    from sqlalchemy.pool import StaticPool  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    engine = create_engine("postgresql+psycopg://", creator=lambda: connection, poolclass=StaticPool)
    # One transaction for everything: a migration that fails leaves the warehouse as it was.
    with engine.begin() as bound, transaction(connection):
        _prepare(connection, schema)
        # Asked again under the lock, for another process may have migrated meanwhile.
        before = _revision(connection, schema)
        if before is None:
            _refuse_foreign_names(connection, schema)
        elif before not in _REVISIONS:
            raise WarehouseAheadError(
                f"The warehouse's schema {schema} is at revision {before}, which this version of the platform does not "
                f"know; it knows {', '.join(_REVISIONS)}. Upgrade the platform."
            )
        _check(connection, schema, migrated=False)
        if before is None:
            _let_hold_any_text(connection, schema)
        config.attributes["connection"] = bound
        with _ALEMBIC:
            command.upgrade(config, "head")
        _check(connection, schema, migrated=True)
        _describe(connection)
    return before


def _revision(connection: psycopg.Connection, schema: str) -> str | None:
    table = sql.Identifier(schema, VERSION_TABLE)
    history = sql.Identifier(schema, warehouse.load_history.name)
    ((exists, has_history),) = connection.execute(
        "select to_regclass(%s) is not null, to_regclass(%s) is not null",
        [table.as_string(connection), history.as_string(connection)],
    ).fetchall()
    if not exists:
        return None
    ((revision,),) = connection.execute(sql.SQL("select version_num from {}").format(table)).fetchall()
    if revision in _REVISIONS and not has_history:
        raise WarehouseSchemaError(
            f"The warehouse's schema {schema} has a {VERSION_TABLE} but no {warehouse.load_history.name}. Drop "
            "the former too, to have the warehouse made anew."
        )
    return str(revision)


def _prepare(connection: psycopg.Connection, schema: str) -> None:
    connection.execute("select pg_advisory_xact_lock(hashtextextended('totes_dagster.migrate.' || %s, 0))", [schema])
    # Creating it "if not exists" would need the right to create schemas even where it exists.
    if not connection.execute("select from pg_namespace where nspname = %s", [schema]).rowcount:
        connection.execute(sql.SQL("create schema {}").format(sql.Identifier(schema)))
    connection.execute("select set_config('search_path', quote_ident(%s), true)", [schema])


def _refuse_foreign_names(connection: psycopg.Connection, schema: str) -> None:
    """Names that only the platform adds must be free: adopting is for the plain tables."""
    ours = [
        warehouse.load_history.name,
        warehouse.quarantine.name,
        *map(warehouse.current_view_of, warehouse.FACTS.values()),
    ]
    for (name,) in connection.execute(
        "select relname from pg_class where relnamespace = %s::regnamespace and relname = any(%s)",
        [sql.Identifier(schema).as_string(connection), ours],
    ):
        raise WarehouseSchemaError(
            f"The warehouse's schema {schema} has a {name} that is not the platform's. Rename it, or set "
            "WAREHOUSE_SCHEMA to a schema of the platform's own."
        )


def _let_hold_any_text(connection: psycopg.Connection, schema: str) -> None:
    """See that every text of the source fits: into the database's encoding, and into columns of adopted tables."""
    ((encoding,),) = connection.execute("select current_setting('server_encoding')").fetchall()
    if encoding != "UTF8":
        raise WarehouseSchemaError(
            f"The warehouse's database is of encoding {encoding}, which cannot hold every text of the source. Create "
            "one with encoding UTF8."
        )
    limited = connection.execute(
        """
        select relname, attname from pg_class join pg_attribute on attrelid = pg_class.oid
        where relnamespace = %s::regnamespace and relkind in ('r', 'p') and relname = any (%s)
          and atttypid = 'varchar'::regtype and atttypmod >= 0 and attnum > 0 and not attisdropped
        """,
        [sql.Identifier(schema).as_string(connection), list(warehouse.TABLES)],
    ).fetchall()
    for table, column in limited:
        connection.execute(
            sql.SQL("alter table {} alter column {} type varchar").format(sql.Identifier(table), sql.Identifier(column))
        )


def _check(connection: psycopg.Connection, schema: str, *, migrated: bool) -> None:
    """Compare the warehouse with the declaration; before migrating, what a migration may add can still be missing."""
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
    for name, table in warehouse.TABLES.items():
        if name not in found and not migrated:
            continue
        for column in table.columns:
            if column.name not in found.get(name, {}):
                if not migrated:
                    continue
                raise WarehouseSchemaError(
                    f"The warehouse's {name} has no column {column.name}. Rename what is in the way of it, or set "
                    "WAREHOUSE_SCHEMA to a schema of the platform's own."
                )
            base, full, generated = found[name][column.name]
            expected = sql_type(column)
            # A text column may be of any kind or length; all other types must be the declared ones to the letter.
            if full != expected and not {base, expected} <= _TEXT_TYPES:
                raise WarehouseSchemaError(f"The warehouse's {name}.{column.name} is {full}, but must be {expected}.")
            if name in warehouse.FACTS and column.primary_key and not generated:
                raise WarehouseSchemaError(
                    f"The warehouse's {name}.{column.name} is not generated by a sequence of its own: make it "
                    "serial, or an identity, or let the sequence be owned by the column."
                )


def _describe(connection: psycopg.Connection) -> None:
    """Give the declaration's descriptions to the database, for whoever looks at it with other tools."""
    for table in (*warehouse.TABLES.values(), warehouse.load_history, warehouse.quarantine):
        identifier = sql.Identifier(table.name)
        connection.execute(sql.SQL("comment on table {} is {}").format(identifier, sql.Literal(table.comment)))
        for column in table.columns:
            connection.execute(
                sql.SQL("comment on column {} is {}").format(
                    sql.Identifier(table.name, column.name), sql.Literal(column.comment)
                )
            )
