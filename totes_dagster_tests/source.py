"""What a simulated source must always be, and how to look at one."""

from collections.abc import Callable
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg.sql import SQL, Identifier

from totes_dagster.schema import totesys

Database = Callable[..., str]
Rows = dict[str, dict[int, dict[str, Any]]]

EVENT_TABLES = {"sales_order", "purchase_order", "transaction", "payment"}
EDITED_COLUMNS = {"staff_id", "design_id", "item_code", "agreed_delivery_date", "agreed_delivery_location_id"}
"""Columns of orders that the real company was seen to change."""

RULES = {
    "sales order with transaction and payment": """
        SELECT sales_order_id FROM sales_order o LEFT JOIN (transaction t JOIN payment p USING (transaction_id))
        USING (sales_order_id) WHERE payment_id IS NULL OR transaction_type <> 'SALE' OR payment_type_id <> 1
        OR p.payment_amount <> o.units_sold * o.unit_price OR p.currency_id <> o.currency_id
        OR p.counterparty_id <> o.counterparty_id""",
    "purchase order with transaction and payment": """
        SELECT purchase_order_id FROM purchase_order o LEFT JOIN (transaction t JOIN payment p USING (transaction_id))
        USING (purchase_order_id) WHERE payment_id IS NULL OR transaction_type <> 'PURCHASE' OR payment_type_id <> 3
        OR p.payment_amount <> o.item_quantity * o.item_unit_price OR p.currency_id <> o.currency_id
        OR p.counterparty_id <> o.counterparty_id""",
    "transaction with at most one order, which is there": """
        SELECT transaction_id FROM transaction t LEFT JOIN sales_order s USING (sales_order_id)
        LEFT JOIN purchase_order p USING (purchase_order_id)
        WHERE num_nonnulls(t.sales_order_id, t.purchase_order_id) > 1
        OR num_nonnulls(s.created_at, p.created_at) <> num_nonnulls(t.sales_order_id, t.purchase_order_id)""",
    "dates": """
        SELECT agreed_delivery_date FROM sales_order WHERE agreed_delivery_date !~ '^\\d{4}-\\d\\d-\\d\\d$'
        UNION ALL SELECT payment_date FROM payment WHERE payment_date !~ '^\\d{4}-\\d\\d-\\d\\d$'""",
    "stamps": "SELECT payment_id FROM payment WHERE last_updated < created_at",
}
RULES_OF_EVERY_DAY = {
    "design of a sales order": """
        SELECT sales_order_id FROM sales_order LEFT JOIN design d USING (design_id) WHERE d.design_id IS NULL""",
    "transaction of a payment": """
        SELECT payment_id FROM payment LEFT JOIN transaction t USING (transaction_id) WHERE t.transaction_id IS NULL""",
    "transaction with an order": """
        SELECT transaction_id FROM transaction WHERE num_nonnulls(sales_order_id, purchase_order_id) <> 1""",
    "edits are silent": """
        SELECT sales_order_id FROM sales_order WHERE last_updated <> created_at
        UNION ALL SELECT purchase_order_id FROM purchase_order WHERE last_updated <> created_at
        UNION ALL SELECT transaction_id FROM transaction WHERE last_updated <> created_at
        UNION ALL SELECT design_id FROM design WHERE last_updated <> created_at
        UNION ALL SELECT payment_id FROM payment WHERE last_updated <> created_at AND NOT paid""",
}
"""What holds after whatever the real company was seen to do."""
RULES_OF_A_SEED = RULES_OF_EVERY_DAY | {
    "payments of a day share one stamp": """
        SELECT payment_date FROM payment WHERE paid GROUP BY payment_date
        HAVING min(last_updated) <> max(last_updated)""",
    "design is older than its orders": """
        SELECT sales_order_id FROM sales_order o JOIN design d USING (design_id) WHERE d.created_at > o.created_at""",
    "opening hours": """
        SELECT created_at FROM (
            SELECT created_at FROM sales_order UNION ALL SELECT created_at FROM purchase_order
            UNION ALL SELECT created_at FROM transaction UNION ALL SELECT created_at FROM payment
            UNION ALL SELECT created_at FROM design UNION ALL SELECT created_at FROM staff) every
        WHERE extract(isodow FROM created_at) > 5 OR extract(hour FROM created_at) NOT BETWEEN 8 AND 18""",
    "payments are paid in the morning of a weekday": """
        SELECT payment_id FROM payment WHERE paid AND (
            extract(isodow FROM last_updated) > 5 OR date_trunc('second', last_updated)::time <> '07:55:11'
            OR last_updated::date::text <> payment_date)""",
}
CATALOGUE = {
    "columns": """
        SELECT c.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
               pg_get_expr(d.adbin, d.adrelid)
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 ORDER BY 1, 2""",
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), convalidated FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2""",
    "indexes": "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1",
    "enums": """
        SELECT typname, enumlabel FROM pg_enum JOIN pg_type t ON t.oid = enumtypid ORDER BY typname, enumsortorder""",
}


def fetch(url: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(query).fetchall()


def broken(url: str, rules: dict[str, str]) -> dict[str, list[Any]]:
    """Rows that break a rule, by rule."""
    return {rule: rows for rule, query in rules.items() if (rows := fetch(url, query))}


def contents(url: str) -> Rows:
    """Every committed row, by table and key."""
    with psycopg.connect(url, row_factory=dict_row) as connection:
        return {
            name: {
                row[totesys.key_of(table)]: row
                for row in connection.execute(SQL("SELECT * FROM {}").format(Identifier(name)))
            }
            for name, table in totesys.SOURCE_TABLES.items()
        }
