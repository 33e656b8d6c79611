"""Statements that make the source's table of sales orders a partitioned one."""

NOTHING_REFERS = (
    "alter table transaction drop constraint if exists transaction_sales_order_id_fkey",
    "alter table transaction drop constraint if exists transaction_purchase_order_id_fkey",
)

PARTITIONED = (
    *NOTHING_REFERS,
    "create table parted (like sales_order including defaults, primary key (sales_order_id)) "
    "partition by range (sales_order_id)",
    "create table low partition of parted for values from (minvalue) to (30)",
    "create table high partition of parted for values from (30) to (maxvalue)",
    "insert into parted select * from sales_order",
    "alter table sales_order rename to former",
    "alter table parted rename to sales_order",
)
