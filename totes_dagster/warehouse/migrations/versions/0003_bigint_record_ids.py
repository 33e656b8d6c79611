"""Record ids that do not run out."""

from psycopg import sql

from totes_dagster.warehouse.migrations.driver import driver_connection
from totes_dagster.warehouse.migrations.views import recreated_views

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_RECORD_IDS = (
    ("fact_sales_order", "sales_record_id"),
    ("fact_purchase_order", "purchase_record_id"),
    ("fact_payment", "payment_record_id"),
)


def upgrade() -> None:
    """Widen record ids that are integers, which rewrites their tables. An adopted table may have bigints already."""
    connection = driver_connection()
    narrow = [
        (fact, column)
        for fact, column in _RECORD_IDS
        if connection.execute(
            "select from pg_attribute where attrelid = %s::regclass and attname = %s and atttypid = 'integer'::regtype",
            [fact, column],
        ).rowcount
    ]
    with recreated_views(connection, narrow):
        for fact, column in narrow:
            # Revision 0004 rebuilds it, so rebuilding it here would be wasted.
            connection.execute(sql.SQL("drop index if exists {}").format(sql.Identifier(f"{fact}_newest_idx")))
            connection.execute(
                sql.SQL("alter table {} alter column {} type bigint").format(
                    sql.Identifier(fact), sql.Identifier(column)
                )
            )
    for fact, column in _RECORD_IDS:
        (sequence,) = connection.execute(
            "select nspname, relname from pg_class join pg_namespace on pg_namespace.oid = relnamespace "
            "where pg_class.oid = pg_get_serial_sequence(%s, %s)::regclass",
            [fact, column],
        ).fetchall()
        # A sequence that cycles would generate numbers a second time.
        connection.execute(sql.SQL("alter sequence {} as bigint no cycle").format(sql.Identifier(*sequence)))


def downgrade() -> None:
    """Refuse: there may be record ids that no integer can hold."""
    raise NotImplementedError("Record ids cannot become integers again.")
