"""The source, `totesys`: its tables, declared once, as their owner runs them.

Everything about the source derives from here: which tables are ingested, how they are captured, the types and
descriptions of the lake's ingestion zone, and the simulated company. Nothing here reads or writes a database.

The source exists in two forms, and both are in use. The newer one enforces every reference that is declared here. The
older one does not enforce those that are declared with `newer=True`: an order's design, a payment's transaction and a
transaction's order need not exist there. Nothing may rely on these references.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Enum,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    MetaData,
    Numeric,
    String,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import TIMESTAMP
from sqlalchemy.types import TypeEngine


class Capture(StrEnum):
    """How a batch captures a table that changed."""

    CHANGES = "changes"
    """Event tables: only the rows that may have changed since the previous batch."""
    WHOLE = "whole"
    """Reference tables: all rows, so that a dimension can be remodelled without replaying earlier batches."""


TRANSACTION_TYPES = ("SALE", "PURCHASE")
PAYMENT_TYPE_NAMES = ("SALES_RECEIPT", "SALES_REFUND", "PURCHASE_PAYMENT", "PURCHASE_REFUND")

# PostgreSQL's default names, so that a database created from this declaration is identical to the owner's.
metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "uq": "%(table_name)s_%(column_0_name)s_key",
    }
)

prisma_migrations = Table("_prisma_migrations", metadata, Column("id", Text, primary_key=True))
"""The source application's own bookkeeping. It is in the same schema as the declared tables and is never ingested."""

_MONEY = Numeric(10, 2)
_MILLISECONDS = TIMESTAMP(precision=3)


def _key(name: str, description: str) -> Column[int]:
    return Column(name, Integer, primary_key=True, autoincrement=False, comment=description)


@dataclass(frozen=True)
class _Reference:
    """A reference to another table's column.

    Attributes:
        column: `table.column`.
        newer: whether only the newer form of the source enforces it.
        unique: whether at most one row refers to each row of the other table.
    """

    column: str
    newer: bool = False
    unique: bool = False


def _column(
    name: str,
    type_: TypeEngine[Any],
    description: str,
    *,
    nullable: bool = False,
    references: str | _Reference | None = None,
    personal: bool = False,
) -> Column[Any]:
    """Declare a column of the source.

    Args:
        name: its name.
        type_: its type.
        description: its comment, a sentence.
        nullable: whether it may be null. A column that the source added after the first batch must be nullable, because
            earlier batches have no values for it.
        references: the column (`table.column`) of another table that it refers to.
        personal: see `is_personal`.
    """
    constraints = []
    reference = _Reference(references) if isinstance(references, str) else references
    if reference:
        on_delete = "SET NULL" if nullable else None
        info = {"newer": reference.newer}
        constraints = [ForeignKey(reference.column, onupdate="CASCADE", ondelete=on_delete, info=info)]
    unique = True if reference and reference.unique else None
    return Column(
        name, type_, *constraints, nullable=nullable, unique=unique, comment=description, info={"personal": personal}
    )


def _stamps() -> tuple[Column[Any], Column[Any]]:
    return (
        Column(
            "created_at",
            _MILLISECONDS,
            nullable=False,
            server_default=text("CURRENT_TIMESTAMP"),
            comment="When the row was created; UTC, to the millisecond.",
        ),
        Column(
            "last_updated",
            _MILLISECONDS,
            nullable=False,
            comment="When the application says the row last changed; UTC, to the millisecond. Rows also change without "
            "it moving, so capture never relies on it.",
        ),
    )


def _table(name: str, capture: Capture, description: str, *columns: Column[Any]) -> Table:
    return Table(name, metadata, *columns, comment=description, info={"capture": capture})


address = _table(
    "address",
    Capture.WHOLE,
    "Postal addresses of counterparties and of deliveries. One row per address.",
    _key("address_id", "Number of the address."),
    _column("address_line_1", Text(), "First line of the address."),
    _column("address_line_2", Text(), "Second line of the address.", nullable=True),
    _column("district", Text(), "District or county.", nullable=True),
    _column("city", Text(), "City."),
    _column("postal_code", Text(), "Postal code, as written."),
    _column("country", Text(), "Country, by its English name."),
    _column("phone", Text(), "Telephone number, as written.", personal=True),
    *_stamps(),
)

counterparty = _table(
    "counterparty",
    Capture.WHOLE,
    "Companies that the business sells to and buys from. One row per counterparty.",
    _key("counterparty_id", "Number of the counterparty."),
    _column("counterparty_legal_name", Text(), "Legal name of the company."),
    _column("legal_address_id", Integer(), "Its legal address.", references="address.address_id"),
    _column("commercial_contact", Text(), "Contact for commercial matters.", nullable=True, personal=True),
    _column("delivery_contact", Text(), "Contact for deliveries.", nullable=True, personal=True),
    *_stamps(),
)

currency = _table(
    "currency",
    Capture.WHOLE,
    "Currencies that orders and payments are made in. One row per currency.",
    _key("currency_id", "Number of the currency."),
    _column("currency_code", String(3), "ISO 4217 code."),
    *_stamps(),
)

department = _table(
    "department",
    Capture.WHOLE,
    "Departments of the company. One row per department.",
    _key("department_id", "Number of the department."),
    _column("department_name", Text(), "Name of the department."),
    _column("location", Text(), "Town that the department works in.", nullable=True),
    _column("manager", Text(), "Name of its manager.", nullable=True, personal=True),
    *_stamps(),
)

design = _table(
    "design",
    Capture.WHOLE,
    "Designs printed on the bags. One row per design.",
    _key("design_id", "Number of the design."),
    _stamps()[0],
    _column("design_name", Text(), "Name of the design."),
    _column("file_location", Text(), "Folder that the design's file is in."),
    _column("file_name", Text(), "Name of the design's file."),
    _stamps()[1],
)

staff = _table(
    "staff",
    Capture.WHOLE,
    "Employees. One row per member of staff.",
    _key("staff_id", "Number of the member of staff."),
    _column("first_name", Text(), "First name.", personal=True),
    _column("last_name", Text(), "Last name.", personal=True),
    _column("department_id", Integer(), "Department of the member of staff.", references="department.department_id"),
    _column("email_address", Text(), "E-mail address at work.", personal=True),
    *_stamps(),
)

payment_type = _table(
    "payment_type",
    Capture.WHOLE,
    "Kinds of payment. One row per kind.",
    _key("payment_type_id", "Number of the kind of payment."),
    _column("payment_type_name", Enum(*PAYMENT_TYPE_NAMES, name="PaymentTypeName"), "Name of the kind of payment."),
    *_stamps(),
)

sales_order = _table(
    "sales_order",
    Capture.CHANGES,
    "Orders that customers placed. One row per sales order.",
    _key("sales_order_id", "Number of the sales order."),
    *_stamps(),
    _column(
        "design_id",
        Integer(),
        "Design ordered. The older form of the source does not enforce this reference.",
        references=_Reference("design.design_id", newer=True),
    ),
    _column("staff_id", Integer(), "Member of staff who made the sale.", references="staff.staff_id"),
    _column("counterparty_id", Integer(), "Customer.", references="counterparty.counterparty_id"),
    _column("units_sold", Integer(), "Number of bags ordered."),
    _column("unit_price", _MONEY, "Price of one bag, in the order's currency."),
    _column("currency_id", Integer(), "Currency of the order.", references="currency.currency_id"),
    _column("agreed_delivery_date", Text(), "Date agreed for delivery, as text: YYYY-MM-DD."),
    _column("agreed_payment_date", Text(), "Date agreed for payment, as text: YYYY-MM-DD."),
    _column("agreed_delivery_location_id", Integer(), "Address to deliver to.", references="address.address_id"),
)

purchase_order = _table(
    "purchase_order",
    Capture.CHANGES,
    "Orders that the company placed with suppliers. One row per purchase order.",
    _key("purchase_order_id", "Number of the purchase order."),
    *_stamps(),
    _column("staff_id", Integer(), "Member of staff who placed the order.", references="staff.staff_id"),
    _column("counterparty_id", Integer(), "Supplier.", references="counterparty.counterparty_id"),
    _column("item_code", Text(), "Supplier's code of the item."),
    _column("item_quantity", Integer(), "Number of items ordered."),
    _column("item_unit_price", _MONEY, "Price of one item, in the order's currency."),
    _column("currency_id", Integer(), "Currency of the order.", references="currency.currency_id"),
    _column("agreed_delivery_date", Text(), "Date agreed for delivery, as text: YYYY-MM-DD."),
    _column("agreed_payment_date", Text(), "Date agreed for payment, as text: YYYY-MM-DD."),
    _column("agreed_delivery_location_id", Integer(), "Address to deliver to.", references="address.address_id"),
)

transaction = _table(
    "transaction",
    Capture.CHANGES,
    "What ties a payment to its order. One row per transaction, with one of the two order numbers, or with neither if "
    "its order was deleted.",
    _key("transaction_id", "Number of the transaction."),
    _column("transaction_type", Enum(*TRANSACTION_TYPES, name="TransactionType"), "SALE or PURCHASE."),
    _column(
        "sales_order_id",
        Integer(),
        "The sales order, for a sale.",
        nullable=True,
        references=_Reference("sales_order.sales_order_id", newer=True, unique=True),
    ),
    _column(
        "purchase_order_id",
        Integer(),
        "The purchase order, for a purchase.",
        nullable=True,
        references=_Reference("purchase_order.purchase_order_id", newer=True, unique=True),
    ),
    *_stamps(),
)

payment = _table(
    "payment",
    Capture.CHANGES,
    "Payments, due or made. One row per payment.",
    _key("payment_id", "Number of the payment."),
    *_stamps(),
    _column(
        "transaction_id",
        Integer(),
        "Transaction paid for. The older form of the source does not enforce this reference.",
        references=_Reference("transaction.transaction_id", newer=True, unique=True),
    ),
    _column("counterparty_id", Integer(), "Who pays or is paid.", references="counterparty.counterparty_id"),
    _column("payment_amount", _MONEY, "Amount, in the payment's currency."),
    _column("currency_id", Integer(), "Currency of the payment.", references="currency.currency_id"),
    _column("payment_type_id", Integer(), "Kind of payment.", references="payment_type.payment_type_id"),
    _column("paid", Boolean(), "Whether the payment has been made."),
    _column("payment_date", Text(), "Date the payment is due or was made, as text: YYYY-MM-DD."),
    _column("company_ac_number", Integer(), "The company's account number.", personal=True),
    _column("counterparty_ac_number", Integer(), "The counterparty's account number.", personal=True),
)

PUBLICATION = "totes"
"""Name of the publication of the declared tables, where their owner lets changes be captured from the log."""

SOURCE_TABLES: dict[str, Table] = {name: table for name, table in metadata.tables.items() if "capture" in table.info}
"""The tables by name, in the order in which they are declared: every reference points backwards."""


def capture_of(table: Table) -> Capture:
    """How batches capture this source table."""
    return Capture(table.info["capture"])


def key_of(table: Table) -> str:
    """Name of the table's single primary key column."""
    return str(table.primary_key.columns[0].name)


def is_newer(reference: ForeignKeyConstraint) -> bool:
    """Whether only the newer form of the source enforces a reference."""
    return any(element.info["newer"] for element in reference.elements)


def is_personal(column: Column[Any]) -> bool:
    """Whether a column holds personal data or account numbers, whose values do not appear in logs or in Dagster.

    Dagster's UI, its event log and messages are read by more people than the data themselves.
    """
    return bool(column.info.get("personal"))
