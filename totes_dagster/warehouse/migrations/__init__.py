"""Migrations of the warehouse with Alembic, applied by `totes migrate` and by a load that finds an older schema.

This module runs them; each migration is a file in `versions/`.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.errors import LockNotAvailable

from totes_dagster.config.platform import Warehouse
from totes_dagster.errors import (
    DatabaseBusyError,
    DatabaseError,
    DiskFullError,
    WarehouseAheadError,
    WarehouseBehindError,
    WarehouseSchemaError,
)
from totes_dagster.postgres.database import Database
from totes_dagster.postgres.lock_waits import (
    LONG_WAIT,
    SHORT_WAIT,
    WAIT_UNTIL_AUTOVACUUM_GIVES_WAY,
    holders_of_tables,
    lock_against_vacuum,
    watched_locks,
)
from totes_dagster.postgres.named_errors import named_error, reason_of
from totes_dagster.postgres.transactions import transaction
from totes_dagster.schema.bookkeeping import load_history, quarantine
from totes_dagster.schema.registry import DIMENSIONS, FACTS
from totes_dagster.warehouse.migrations.adoption import allow_any_text, check, describe, refuse_foreign_names

logger = logging.getLogger(__name__)

REVISIONS = sorted(path.stem.split("_")[0] for path in (Path(__file__).parent / "versions").glob("[0-9]*.py"))

HEAD = REVISIONS[-1]
"""The newest revision, from its file name, so that Alembic need not be imported."""

VERSION_TABLE = "totes_warehouse_version"
"""Not Alembic's default name: Dagster's storage, which also uses Alembic, may be in the same database."""

_ALEMBIC_LOCK = threading.Lock()
"""Alembic keeps the current migration in global variables, which threads share."""

PATIENCE = 30.0
"""Seconds to keep trying while other sessions hold locks on the tables."""

_PAUSE = 1.0
"""Seconds between two attempts, in which readers can proceed."""


def migrate(warehouse: Warehouse) -> str | None:
    """Bring the warehouse's schema up to date: create it, adopt existing plain tables, or upgrade it.

    Args:
        warehouse: the warehouse; its schema is created if it does not exist.

    Returns:
        The revision that it was at before, or None if it had none.

    Raises:
        WarehouseAheadError: the schema is at a revision that this version of the platform does not know.
        WarehouseBehindError: it cannot be brought up to date, for example because the user lacks a privilege.
        WarehouseSchemaError: existing tables do not have the warehouse's columns and types.
        DatabaseBusyError: other sessions held locks on the tables for too long; transient.
        DatabaseError: the connection was lost.
    """
    database, schema = warehouse.database, warehouse.schema
    with database.connect() as connection:
        try:
            return _migrate(connection, database, schema)
        except DatabaseError as error:
            cause = error.__cause__
            if not isinstance(cause, psycopg.Error) or isinstance(error, DatabaseBusyError):
                raise
            if error.transient or isinstance(error, DiskFullError):
                raise named_error(database.name, f"migrating the schema {schema}", cause) from cause
            raise WarehouseBehindError(
                f"The warehouse's schema {schema} cannot be brought up to date: {reason_of(cause)} Nothing was "
                "changed. Check that the user may create in it, and that its existing tables are the warehouse's."
            ) from cause


def revision_of(warehouse: Warehouse) -> str | None:
    """The revision of the warehouse's schema; None if it was never migrated.

    Raises:
        WarehouseAheadError: this version of the platform does not know the revision.
    """
    with warehouse.database.transaction(read_only=True) as connection:
        revision = _revision(connection, warehouse.schema)
    if revision is not None and revision not in REVISIONS:
        raise _ahead(warehouse.schema, revision)
    return revision


def _migrate(connection: psycopg.Connection[Any], database: Database, schema: str) -> str | None:
    """Try to migrate until no other session holds a lock on the tables.

    Readers queue behind a migration that waits for its strong locks, so each wait is short.
    """
    give_up_at = time.monotonic() + PATIENCE
    while True:
        try:
            return _attempt(connection, database, schema)
        except DatabaseBusyError as error:
            if not isinstance(error.__cause__, LockNotAvailable):
                raise
            with transaction(connection, read_only=True):
                holders = holders_of_tables(connection, schema)
            if time.monotonic() > give_up_at:
                raise DatabaseBusyError(
                    f"Migrating the schema {schema} of the warehouse failed, and nothing was changed: "
                    f"{holders or 'other sessions held'} a lock on its tables. Try again when they have ended, or end "
                    "them with pg_terminate_backend.",
                    sqlstate=LockNotAvailable.sqlstate,
                ) from error.__cause__
            logger.info("Cannot migrate yet, because %s a lock; trying again.", holders or "other sessions held")
            time.sleep(_PAUSE)


def _attempt(connection: psycopg.Connection[Any], database: Database, schema: str) -> str | None:
    for revision, files in Counter(REVISIONS).items():
        if files > 1:
            raise WarehouseSchemaError(
                f"{files} migrations in totes_dagster/warehouse/migrations/versions/ are called {revision}: renumber "
                "the newer ones."
            )
    with transaction(connection, read_only=True):
        before = _revision(connection, schema)
    if before == HEAD:
        return before
    # Slow to import, and rarely needed.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from sqlalchemy import create_engine  # noqa: PLC0415
    from sqlalchemy.exc import DBAPIError, SQLAlchemyError  # noqa: PLC0415
    from sqlalchemy.pool import StaticPool  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: connection, poolclass=StaticPool, use_native_hstore=False
    )
    try:
        bound = engine.connect()
    except DBAPIError as error:  # SQLAlchemy's wrapper hides the driver's error
        raise error.orig or error from None
    config.attributes["connection"] = bound
    bound.begin()  # so that Alembic neither begins nor ends a transaction
    try:
        # One transaction for everything: a migration that fails leaves the warehouse as it was.
        with transaction(connection):
            return _upgrade(connection, database, schema, lambda: command.upgrade(config, "head"))
    finally:
        with suppress(SQLAlchemyError):  # the connection is lost
            bound.close()


def _upgrade(
    connection: psycopg.Connection[Any], database: Database, schema: str, upgrade: Callable[[], None]
) -> str | None:
    _wait_for_other_migrations(connection, database, schema)
    _prepare(connection, schema)
    # Read again under the lock: another process may have migrated in the meantime.
    before = _revision(connection, schema)
    if before is not None and before not in REVISIONS:
        raise _ahead(schema, before)
    refuse_foreign_names(connection, schema, before)
    check(connection, schema, migrated=False)
    if before != HEAD:
        _lock_tables(connection, adopting=before is None)
    if before is None:
        allow_any_text(connection, schema)
    with _ALEMBIC_LOCK:
        upgrade()
    check(connection, schema, migrated=True)
    describe(connection)
    return before


def _ahead(schema: str, revision: str) -> WarehouseAheadError:
    return WarehouseAheadError(
        f"The warehouse's schema {schema} is at revision {revision}, which this version of the platform does not know; "
        f"it knows {', '.join(REVISIONS)}. Upgrade the platform."
    )


def _revision(connection: psycopg.Connection[Any], schema: str) -> str | None:
    table = sql.Identifier(schema, VERSION_TABLE)
    history = sql.Identifier(schema, load_history.name)
    ((exists, has_history),) = connection.execute(
        "select to_regclass(%s) is not null, to_regclass(%s) is not null",
        [table.as_string(connection), history.as_string(connection)],
    ).fetchall()
    if not exists:
        return None
    ((revision,),) = connection.execute(sql.SQL("select version_num from {}").format(table)).fetchall()
    if revision in REVISIONS and not has_history:
        raise WarehouseSchemaError(
            f"The warehouse's schema {schema} has a {VERSION_TABLE} but no {load_history.name}. Drop "
            "the former too, so that the warehouse is created again."
        )
    return str(revision)


def _wait_for_other_migrations(connection: psycopg.Connection[Any], database: Database, schema: str) -> None:
    """Take the migration lock. Only migrations queue behind it, so the wait may be long."""
    ((pid,),) = connection.execute("select pg_backend_pid()").fetchall()
    connection.execute(sql.SQL("set local lock_timeout = {}").format(LONG_WAIT))
    with watched_locks(database, pid, f"Migrating the schema {schema}") as watch:
        try:
            connection.execute(
                "select pg_advisory_xact_lock(hashtextextended('totes_dagster.migrate.' || %s, 0))", [schema]
            )
        except DatabaseBusyError as error:
            if not isinstance(error.__cause__, LockNotAvailable):
                raise
            raise DatabaseBusyError(
                f"Migrating the schema {schema} of the warehouse failed: {watch.blockers or 'another session holds'} "
                f"the migration lock, and still did after {LONG_WAIT}. Try again when that migration has ended."
            ) from None
    connection.execute(sql.SQL("set local lock_timeout = {}").format(SHORT_WAIT))


def _prepare(connection: psycopg.Connection[Any], schema: str) -> None:
    # "create schema if not exists" needs the privilege to create schemas even if the schema exists.
    if not connection.execute("select from pg_namespace where nspname = %s", [schema]).rowcount:
        connection.execute(sql.SQL("create schema {}").format(sql.Identifier(schema)))
    connection.execute("select set_config('search_path', quote_ident(%s) || ', pg_temp', true)", [schema])


def _lock_tables(connection: psycopg.Connection[Any], *, adopting: bool) -> None:
    """Take the strong locks that migrations need before doing work that would be lost without them."""
    names = [*FACTS, quarantine.name, *(DIMENSIONS if adopting else ())]
    tables = [
        sql.Identifier(name)
        for (name,) in connection.execute(
            "select relname from unnest(%s::text[]) as ours "
            "join pg_class on pg_class.oid = to_regclass(quote_ident(ours)) "
            "where relkind in ('r', 'p') and pg_has_role(relowner, 'usage') order by relname",
            [names],
        ).fetchall()
    ]
    if tables:
        patiently: sql.SQL = WAIT_UNTIL_AUTOVACUUM_GIVES_WAY
        connection.execute(patiently)
        lock: sql.Composed = lock_against_vacuum(tables)
        connection.execute(lock)
        connection.execute(sql.SQL("set local lock_timeout = {}").format(SHORT_WAIT))
        connection.execute(sql.SQL("lock table {} in access exclusive mode").format(sql.SQL(", ").join(tables)))
