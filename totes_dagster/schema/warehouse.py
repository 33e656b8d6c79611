"""The warehouse: eight dimensions, three facts, the views over them and `load_history`, declared once.

Migrations, Parquet schemas of the processed zone, merges, column descriptions and column lineage derive from here. What
each column is computed *by* is in `model/`; what it is computed *from* is said here.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    ForeignKey,
    Integer,
    MetaData,
    Numeric,
    String,
    Table,
    Time,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
from sqlalchemy.types import TypeEngine

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "ix": "%(table_name)s_%(column_0_name)s_idx",
    }
)

UNKNOWN = "Unknown"
"""What a NOT NULL text column holds where the source has nothing to say, and all text of a placeholder member."""

_MONEY = Numeric(10, 2)


def _column(
    name: str,
    type_: TypeEngine[Any],
    description: str,
    *sources: str,
    nullable: bool = False,
    references: str | None = None,
) -> Column[Any]:
    """A column; `sources` name the source columns (`table.column`) that its value comes from."""
    constraints = [ForeignKey(references)] if references else []
    return Column(name, type_, *constraints, nullable=nullable, comment=description, info={"sources": sources})


def _dimension(name: str, grain: str, key: Column[Any], *columns: Column[Any], version: int = 1) -> Table:
    """A dimension. See `remodel_version_of` for `version`."""
    return Table(name, metadata, key, *columns, comment=grain, info={"natural_key": key.name, "version": version})


def _dimension_key(name: str, type_: TypeEngine[Any], description: str, *sources: str) -> Column[Any]:
    return Column(name, type_, primary_key=True, autoincrement=False, comment=description, info={"sources": sources})


def _fact(name: str, grain: str, record_id: str, *columns: Column[Any], version: int = 1) -> Table:
    """A fact: a generated record id, the natural key first among `columns`, and what the platform adds.

    See `remodel_version_of` for `version`.
    """
    return Table(
        name,
        metadata,
        Column(
            record_id,
            Integer,
            primary_key=True,
            autoincrement=True,
            comment="Generated number of this version; of two versions of one row the newer has the higher number.",
        ),
        *columns,
        Column(
            "is_deleted",
            Boolean,
            nullable=False,
            server_default=text("false"),
            comment="True on the version that records that the row is gone from the source.",
        ),
        Column("batch", BigInteger, nullable=False, comment="Batch that brought this version; 0 where none did."),
        comment=grain,
        info={"natural_key": columns[0].name, "record_id": record_id, "version": version},
    )


def _stamps(source: str) -> tuple[Column[Any], ...]:
    return (
        _column(
            "created_date", Date(), "Date of creation, UTC.", f"{source}.created_at", references="dim_date.date_id"
        ),
        _column("created_time", Time(), "Time of creation, UTC, to the millisecond.", f"{source}.created_at"),
        _column(
            "last_updated_date",
            Date(),
            "Date of the last update that the source stamped, UTC.",
            f"{source}.last_updated",
            references="dim_date.date_id",
        ),
        _column(
            "last_updated_time",
            Time(),
            "Time of the last update that the source stamped, UTC, to the millisecond.",
            f"{source}.last_updated",
        ),
    )


dim_date = _dimension(
    "dim_date",
    "Calendar. One row per day of every calendar year from the earliest to the latest that any fact names.",
    _dimension_key(
        "date_id",
        Date(),
        "The day.",
        *(
            f"{table}.{stamp}"
            for table in ("sales_order", "purchase_order")
            for stamp in ("created_at", "last_updated")
        ),
        *(
            f"{table}.{date}"
            for table in ("sales_order", "purchase_order")
            for date in ("agreed_delivery_date", "agreed_payment_date")
        ),
        *(f"payment.{column}" for column in ("created_at", "last_updated", "payment_date")),
    ),
    _column("year", Integer(), "Calendar year."),
    _column("month", Integer(), "Month, 1 to 12."),
    _column("day", Integer(), "Day of the month, 1 to 31."),
    _column("day_of_week", Integer(), "ISO day of the week: Monday 1 to Sunday 7."),
    _column("day_name", String(), "English name of the day of the week."),
    _column("month_name", String(), "English name of the month."),
    _column("quarter", Integer(), "Quarter of the year, 1 to 4."),
)

dim_location = _dimension(
    "dim_location",
    "Addresses that orders are delivered to. One row per address, with its latest values.",
    _dimension_key("location_id", Integer(), "Number of the address.", "address.address_id"),
    _column("address_line_1", String(), "First line of the address.", "address.address_line_1"),
    _column("address_line_2", String(), "Second line of the address.", "address.address_line_2", nullable=True),
    _column("district", String(), "District or county.", "address.district", nullable=True),
    _column("city", String(), "City.", "address.city"),
    _column("postal_code", String(), "Postal code, as written.", "address.postal_code"),
    _column("country", String(), "Country, by its English name.", "address.country"),
    _column("phone", String(), "Telephone number, as written.", "address.phone"),
)

dim_counterparty = _dimension(
    "dim_counterparty",
    "Customers and suppliers with their legal address. One row per counterparty, with its latest values.",
    _dimension_key("counterparty_id", Integer(), "Number of the counterparty.", "counterparty.counterparty_id"),
    _column("counterparty_legal_name", String(), "Legal name of the company.", "counterparty.counterparty_legal_name"),
    *(
        _column(
            f"counterparty_legal_{name}",
            String(),
            description,
            f"address.{source}",
            "counterparty.legal_address_id",
            nullable=nullable,
        )
        for name, source, description, nullable in (
            ("address_line_1", "address_line_1", "First line of the legal address.", False),
            ("address_line_2", "address_line_2", "Second line of the legal address.", True),
            ("district", "district", "District or county of the legal address.", True),
            ("city", "city", "City of the legal address.", False),
            ("postal_code", "postal_code", "Postal code of the legal address, as written.", False),
            ("country", "country", "Country of the legal address, by its English name.", False),
            ("phone_number", "phone", "Telephone number at the legal address, as written.", False),
        )
    ),
)

dim_currency = _dimension(
    "dim_currency",
    "Currencies. One row per currency, with its latest values.",
    _dimension_key("currency_id", Integer(), "Number of the currency.", "currency.currency_id"),
    _column("currency_code", String(), "ISO 4217 code.", "currency.currency_code"),
    _column("currency_name", String(), "English name in Unicode's CLDR.", "currency.currency_code"),
)

dim_design = _dimension(
    "dim_design",
    "Designs printed on the bags. One row per design, with its latest values.",
    _dimension_key("design_id", Integer(), "Number of the design.", "design.design_id"),
    _column("design_name", String(), "Name of the design.", "design.design_name"),
    _column("file_location", String(), "Folder that the design's file is in.", "design.file_location"),
    _column("file_name", String(), "Name of the design's file.", "design.file_name"),
)

dim_payment_type = _dimension(
    "dim_payment_type",
    "Kinds of payment. One row per kind, with its latest values.",
    _dimension_key("payment_type_id", Integer(), "Number of the kind of payment.", "payment_type.payment_type_id"),
    _column("payment_type_name", String(), "Name of the kind of payment.", "payment_type.payment_type_name"),
)

dim_staff = _dimension(
    "dim_staff",
    "Employees with their department. One row per member of staff, with its latest values.",
    _dimension_key("staff_id", Integer(), "Number of the member of staff.", "staff.staff_id"),
    _column("first_name", String(), "First name.", "staff.first_name"),
    _column("last_name", String(), "Last name.", "staff.last_name"),
    _column("department_name", String(), "Department.", "department.department_name", "staff.department_id"),
    _column(
        "location",
        String(),
        f"Town that the department works in; {UNKNOWN} where the source has none.",
        "department.location",
        "staff.department_id",
    ),
    _column("email_address", String(), "E-mail address at work.", "staff.email_address"),
)

dim_transaction = _dimension(
    "dim_transaction",
    "What ties a payment to its order. One row per transaction, with its latest values.",
    _dimension_key("transaction_id", Integer(), "Number of the transaction.", "transaction.transaction_id"),
    _column("transaction_type", String(), "SALE or PURCHASE.", "transaction.transaction_type"),
    _column("sales_order_id", Integer(), "The sales order, for a sale.", "transaction.sales_order_id", nullable=True),
    _column(
        "purchase_order_id",
        Integer(),
        "The purchase order, for a purchase.",
        "transaction.purchase_order_id",
        nullable=True,
    ),
)

fact_sales_order = _fact(
    "fact_sales_order",
    "Sales orders. One row per version of a sales order that the platform has seen.",
    "sales_record_id",
    _column("sales_order_id", Integer(), "Number of the sales order.", "sales_order.sales_order_id"),
    *_stamps("sales_order"),
    _column(
        "sales_staff_id",
        Integer(),
        "Member of staff who made the sale.",
        "sales_order.staff_id",
        references="dim_staff.staff_id",
    ),
    _column(
        "counterparty_id",
        Integer(),
        "Customer.",
        "sales_order.counterparty_id",
        references="dim_counterparty.counterparty_id",
    ),
    _column("units_sold", Integer(), "Number of bags ordered.", "sales_order.units_sold"),
    _column("unit_price", _MONEY, "Price of one bag, in the order's currency.", "sales_order.unit_price"),
    _column(
        "currency_id",
        Integer(),
        "Currency of the order.",
        "sales_order.currency_id",
        references="dim_currency.currency_id",
    ),
    _column("design_id", Integer(), "Design ordered.", "sales_order.design_id", references="dim_design.design_id"),
    _column(
        "agreed_payment_date",
        Date(),
        "Date agreed for payment.",
        "sales_order.agreed_payment_date",
        references="dim_date.date_id",
    ),
    _column(
        "agreed_delivery_date",
        Date(),
        "Date agreed for delivery.",
        "sales_order.agreed_delivery_date",
        references="dim_date.date_id",
    ),
    _column(
        "agreed_delivery_location_id",
        Integer(),
        "Address to deliver to.",
        "sales_order.agreed_delivery_location_id",
        references="dim_location.location_id",
    ),
)

fact_purchase_order = _fact(
    "fact_purchase_order",
    "Purchase orders. One row per version of a purchase order that the platform has seen.",
    "purchase_record_id",
    _column("purchase_order_id", Integer(), "Number of the purchase order.", "purchase_order.purchase_order_id"),
    *_stamps("purchase_order"),
    _column(
        "staff_id",
        Integer(),
        "Member of staff who placed the order.",
        "purchase_order.staff_id",
        references="dim_staff.staff_id",
    ),
    _column(
        "counterparty_id",
        Integer(),
        "Supplier.",
        "purchase_order.counterparty_id",
        references="dim_counterparty.counterparty_id",
    ),
    _column("item_code", String(), "Supplier's code of the item.", "purchase_order.item_code"),
    _column("item_quantity", Integer(), "Number of items ordered.", "purchase_order.item_quantity"),
    _column("item_unit_price", _MONEY, "Price of one item, in the order's currency.", "purchase_order.item_unit_price"),
    _column(
        "currency_id",
        Integer(),
        "Currency of the order.",
        "purchase_order.currency_id",
        references="dim_currency.currency_id",
    ),
    _column(
        "agreed_delivery_date",
        Date(),
        "Date agreed for delivery.",
        "purchase_order.agreed_delivery_date",
        references="dim_date.date_id",
    ),
    _column(
        "agreed_payment_date",
        Date(),
        "Date agreed for payment.",
        "purchase_order.agreed_payment_date",
        references="dim_date.date_id",
    ),
    _column(
        "agreed_delivery_location_id",
        Integer(),
        "Address to deliver to.",
        "purchase_order.agreed_delivery_location_id",
        references="dim_location.location_id",
    ),
)

fact_payment = _fact(
    "fact_payment",
    "Payments. One row per version of a payment that the platform has seen.",
    "payment_record_id",
    _column("payment_id", Integer(), "Number of the payment.", "payment.payment_id"),
    *_stamps("payment"),
    _column(
        "transaction_id",
        Integer(),
        "Transaction paid for.",
        "payment.transaction_id",
        references="dim_transaction.transaction_id",
    ),
    _column(
        "counterparty_id",
        Integer(),
        "Who pays or is paid.",
        "payment.counterparty_id",
        references="dim_counterparty.counterparty_id",
    ),
    _column("payment_amount", _MONEY, "Amount, in the payment's currency.", "payment.payment_amount"),
    _column(
        "currency_id",
        Integer(),
        "Currency of the payment.",
        "payment.currency_id",
        references="dim_currency.currency_id",
    ),
    _column(
        "payment_type_id",
        Integer(),
        "Kind of payment.",
        "payment.payment_type_id",
        references="dim_payment_type.payment_type_id",
    ),
    _column("paid", Boolean(), "Whether the payment has been made.", "payment.paid"),
    _column(
        "payment_date",
        Date(),
        "Date the payment is due or was made.",
        "payment.payment_date",
        references="dim_date.date_id",
    ),
)

DIMENSIONS: dict[str, Table] = {
    table.name: table
    for table in (
        dim_date,
        dim_location,
        dim_counterparty,
        dim_currency,
        dim_design,
        dim_payment_type,
        dim_staff,
        dim_transaction,
    )
}
FACTS: dict[str, Table] = {table.name: table for table in (fact_sales_order, fact_purchase_order, fact_payment)}
TABLES: dict[str, Table] = DIMENSIONS | FACTS
"""The eleven star tables by name, dimensions before the facts that refer to them."""

load_history = Table(
    "load_history",
    metadata,
    Column("batch", BigInteger, primary_key=True, autoincrement=False, comment="Number of the batch."),
    Column(
        "snapshot_at",
        TIMESTAMP(timezone=True),
        nullable=False,
        comment="When the source snapshot was taken: the warehouse shows the source as it was then.",
    ),
    Column(
        "loaded_at",
        TIMESTAMP(timezone=True),
        nullable=False,
        server_default=text("clock_timestamp()"),
        comment="When the batch was loaded.",
    ),
    Column("manifest_sha256", String(), nullable=False, comment="Digest of the batch's manifest in the lake."),
    Column(
        "tables",
        JSONB,
        nullable=False,
        comment="For each star table in the batch: rows staged, new, changed, unchanged, deleted, and placeholders.",
    ),
    comment="One row per loaded batch, written by the transaction that loaded it.",
)


def natural_key_of(table: Table) -> str:
    """Name of the column that says which thing a row of this star table is about."""
    return str(table.info["natural_key"])


def record_id_of(fact: Table) -> str:
    """Name of a fact's generated key, which orders the versions of one thing."""
    return str(fact.info["record_id"])


def remodel_version_of(table: Table) -> int:
    """Version of a star table's declaration and function, which names its folder in the processed zone.

    Raise it when either changes: as objects are never overwritten, every batch is then remodelled into a new folder.
    """
    return int(table.info["version"])


def is_fact(table: Table) -> bool:
    """Whether a star table is a fact, holding versions, and not a dimension, holding latest values."""
    return table.name in FACTS


def remodelled_columns(table: Table) -> list[Column[Any]]:
    """The columns that the remodel computes: all but those that only the load can fill in."""
    return [column for column in table.columns if "sources" in column.info]


def current_view_of(fact: Table) -> str:
    """Name of the view that shows a fact's newest, live versions."""
    return fact.name.replace("fact_", "current_")
