"""Redefining the views of the facts' current versions, for migrations that change a fact's columns."""

import psycopg
from psycopg import sql

from totes_dagster.schema.registry import FACTS
from totes_dagster.schema.star import current_view_of, natural_key_of, record_id_of


def replace_current_view(connection: psycopg.Connection, fact: str) -> None:
    """Let the view of a fact's current versions show all columns that the fact has now.

    Replacing a view resets its options, so those that its owner set are set again.

    Args:
        connection: see `driver_connection`.
        fact: name of the fact.
    """
    table = FACTS[fact]
    view = current_view_of(table)
    # Columns of a view keep their places: those that it has come first, in its order.
    ((options, columns),) = connection.execute(
        """
        select coalesce(reloptions, '{}'),
               array(select attname::text
                     from pg_attribute left join (select attname, attnum from pg_attribute where attrelid = shown.oid)
                          as shown_column using (attname)
                     where attrelid = %s::regclass and pg_attribute.attnum > 0 and not attisdropped
                     order by shown_column.attnum nulls last, pg_attribute.attnum)
        from pg_class as shown where oid = %s::regclass
        """,
        [fact, sql.Identifier(view).as_string(connection)],
    ).fetchall()
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
            fact=sql.Identifier(fact),
            key=sql.Identifier(natural_key_of(table)),
            record_id=sql.Identifier(record_id_of(table)),
        )
    )
