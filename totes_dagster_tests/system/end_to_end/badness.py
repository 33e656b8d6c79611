"""Statements that make rows of the source bad, and good again."""

SOON = "update sales_order set agreed_payment_date = 'soon' where sales_order_id = {}"
MENDED = "update sales_order set agreed_payment_date = '2024-02-29' where sales_order_id = {}"
EDIT = "update sales_order set units_sold = units_sold + 1 where sales_order_id = {}"
KEYLESS = "alter table sales_order drop constraint sales_order_pkey cascade"
KEYED = "alter table sales_order add primary key (sales_order_id)"
TWIN = """
    insert into sales_order select sales_order_id, created_at, last_updated, design_id, staff_id, counterparty_id, 77,
           unit_price, currency_id, agreed_delivery_date, agreed_payment_date, agreed_delivery_location_id
    from sales_order where sales_order_id = 7"""
LIST = "select source_table, source_key, reason, batch, part from quarantine order by 1, 2"


def nullable(*columns: str) -> list[str]:
    """Statements that let columns (`table.column`) be null."""
    return ["alter table {} alter {} drop not null".format(*column.split(".")) for column in columns]
