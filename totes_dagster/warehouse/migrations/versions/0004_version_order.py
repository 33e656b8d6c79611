"""Versions are ordered by batch, then by record id."""

from typing import Any

import psycopg
from psycopg import sql

from totes_dagster.errors import WarehouseSchemaError
from totes_dagster.warehouse.migrations.driver import driver_connection

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_FACTS = (
    ("fact_sales_order", "current_sales_order", "sales_order_id", "sales_record_id"),
    ("fact_purchase_order", "current_purchase_order", "purchase_order_id", "purchase_record_id"),
    ("fact_payment", "current_payment", "payment_id", "payment_record_id"),
)

_OLD_DESCRIPTION = "Generated number of this version; of two versions of one row the newer has the higher number."


def upgrade() -> None:
    """Make the views of the current state, and the index that serves them, follow that order."""
    connection = driver_connection()
    for fact, view, key, record_id in _FACTS:
        index = sql.Identifier(f"{fact}_newest_idx")
        names = {"fact": sql.Identifier(fact), "key": sql.Identifier(key), "record_id": sql.Identifier(record_id)}
        connection.execute(sql.SQL("drop index if exists {}").format(index))
        connection.execute(
            sql.SQL("create index {} on {fact} ({key}, batch desc, {record_id} desc)").format(index, **names)
        )
        ((columns, options, extra),) = connection.execute(
            """
            select (select array_agg(attname::text order by attnum) from pg_attribute
                    where attrelid = pg_class.oid and attnum > 0),
                   coalesce(reloptions, '{}'),
                   (select string_agg(shown.attname, ', ') from pg_attribute as shown
                    where shown.attrelid = pg_class.oid and shown.attnum > 0 and not exists (
                        select from pg_attribute as kept where kept.attrelid = %s::regclass
                        and kept.attname = shown.attname and kept.attnum > 0))
            from pg_class where oid = %s::regclass
            """,
            [fact, view],
        ).fetchall()
        if extra:
            raise WarehouseSchemaError(
                f"The warehouse's view {view} has columns that {fact} does not have: {extra}. Remove them from the "
                "view, or move them to a view of your own, and migrate again."
            )
        # Replacing a view resets its options, so those that the owner set are repeated.
        pairs = [option.partition("=") for option in options]
        settings = sql.SQL(", ").join(
            sql.SQL("{} = {}").format(sql.Identifier(name), sql.Literal(value)) for name, _, value in pairs
        )
        connection.execute(
            sql.SQL(
                "create or replace view {view} {options} as select {columns} from ("
                "select distinct on ({key}) * from {fact} order by {key}, batch desc, {record_id} desc) as newest "
                "where not is_deleted"
            ).format(
                view=sql.Identifier(view),
                options=sql.SQL("with ({})").format(settings) if pairs else sql.SQL(""),
                columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
                **names,
            )
        )
        _remove_description(connection, fact, record_id)


def _remove_description(connection: psycopg.Connection[Any], fact: str, record_id: str) -> None:
    """Make room for the new description, unless the owner has replaced the old one."""
    if connection.execute(
        "select from pg_attribute where attrelid = %s::regclass and attname = %s "
        "and col_description(attrelid, attnum) = %s",
        [fact, record_id, _OLD_DESCRIPTION],
    ).rowcount:
        connection.execute(sql.SQL("comment on column {} is null").format(sql.Identifier(fact, record_id)))


def downgrade() -> None:
    """Refuse: in a warehouse that was moved without its sequences, the old order shows old rows."""
    raise NotImplementedError("Versions cannot be ordered by their record ids alone again.")
