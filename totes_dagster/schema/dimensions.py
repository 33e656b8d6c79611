"""The eight dimensions, which contain the latest values. Each column names what it is computed *from*.

The functions that compute them are in `totes_dagster/remodel/tables/`.
"""

from sqlalchemy import Date, Integer, String

from totes_dagster.schema.star import UNKNOWN, calendar, column, dimension, dimension_key

dim_date = calendar(
    "dim_date",
    "Calendar. One row per day of every calendar year from the earliest to the latest that any fact names.",
    dimension_key(
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
    column("year", Integer(), "Calendar year."),
    column("month", Integer(), "Month, 1 to 12."),
    column("day", Integer(), "Day of the month, 1 to 31."),
    column("day_of_week", Integer(), "ISO day of the week: Monday 1 to Sunday 7."),
    column("day_name", String(), "English name of the day of the week."),
    column("month_name", String(), "English name of the month."),
    column("quarter", Integer(), "Quarter of the year, 1 to 4."),
)

dim_location = dimension(
    "dim_location",
    "Addresses that orders are delivered to. One row per address, with its latest values.",
    dimension_key("location_id", Integer(), "Number of the address.", "address.address_id"),
    column("address_line_1", String(), "First line of the address.", "address.address_line_1"),
    column("address_line_2", String(), "Second line of the address.", "address.address_line_2", nullable=True),
    column("district", String(), "District or county.", "address.district", nullable=True),
    column("city", String(), "City.", "address.city"),
    column("postal_code", String(), "Postal code, as written.", "address.postal_code"),
    column("country", String(), "Country, by its English name.", "address.country"),
    column("phone", String(), "Telephone number, as written.", "address.phone"),
)

dim_counterparty = dimension(
    "dim_counterparty",
    "Customers and suppliers with their legal address. One row per counterparty, with its latest values.",
    dimension_key("counterparty_id", Integer(), "Number of the counterparty.", "counterparty.counterparty_id"),
    column("counterparty_legal_name", String(), "Legal name of the company.", "counterparty.counterparty_legal_name"),
    *(
        column(
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

dim_currency = dimension(
    "dim_currency",
    "Currencies. One row per currency, with its latest values.",
    dimension_key("currency_id", Integer(), "Number of the currency.", "currency.currency_id"),
    column("currency_code", String(), "ISO 4217 code.", "currency.currency_code"),
    column("currency_name", String(), "English name in Unicode's CLDR.", "currency.currency_code"),
)

dim_design = dimension(
    "dim_design",
    "Designs printed on the bags. One row per design, with its latest values.",
    dimension_key("design_id", Integer(), "Number of the design.", "design.design_id"),
    column("design_name", String(), "Name of the design.", "design.design_name"),
    column("file_location", String(), "Folder that the design's file is in.", "design.file_location"),
    column("file_name", String(), "Name of the design's file.", "design.file_name"),
)

dim_payment_type = dimension(
    "dim_payment_type",
    "Kinds of payment. One row per kind, with its latest values.",
    dimension_key("payment_type_id", Integer(), "Number of the kind of payment.", "payment_type.payment_type_id"),
    column("payment_type_name", String(), "Name of the kind of payment.", "payment_type.payment_type_name"),
)

dim_staff = dimension(
    "dim_staff",
    "Employees with their department. One row per member of staff, with its latest values.",
    dimension_key("staff_id", Integer(), "Number of the member of staff.", "staff.staff_id"),
    column("first_name", String(), "First name.", "staff.first_name"),
    column("last_name", String(), "Last name.", "staff.last_name"),
    column("department_name", String(), "Department.", "department.department_name", "staff.department_id"),
    column(
        "location",
        String(),
        f"Town that the department works in; {UNKNOWN} where the source has none.",
        "department.location",
        "staff.department_id",
    ),
    column("email_address", String(), "E-mail address at work.", "staff.email_address"),
)

dim_transaction = dimension(
    "dim_transaction",
    "What ties a payment to its order. One row per transaction, with its latest values.",
    dimension_key("transaction_id", Integer(), "Number of the transaction.", "transaction.transaction_id"),
    column("transaction_type", String(), "SALE or PURCHASE.", "transaction.transaction_type"),
    column("sales_order_id", Integer(), "The sales order, for a sale.", "transaction.sales_order_id", nullable=True),
    column(
        "purchase_order_id",
        Integer(),
        "The purchase order, for a purchase.",
        "transaction.purchase_order_id",
        nullable=True,
    ),
)
