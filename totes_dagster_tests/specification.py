"""What the star tables must hold, said a second time: plain data, which shares nothing with the platform.

Three computations follow from it, each in its own way: `unit/remodel/naive.py` in Python over values, `oracle.py` in
SQL over the source, and `system/end_to_end/judge.py` in Python over texts. A new column or star table is added here.

A star table begins with a line `star table <- driving table`, where values are looked up in another table followed by
`, reference -> that table`; a fact's line ends with its record id. Then a line for each column:
`name type[mark] [-> dimension] [= origin]`. The mark `*` is the key's, `?` that of a column that may be null. The
origin, the column of the same name unless given, is a column of the driving table, `table.column` of the table looked
up (Unknown where that has no value, unless the column may be null), or `day(…)`, `time(…)`, `date(…)` or
`currency_name(…)` of a column.
"""

import re
from dataclasses import dataclass

_SPECIFICATION = """
dim_date <- calendar
    date_id date*
    year int
    month int
    day int
    day_of_week int
    day_name varchar
    month_name varchar
    quarter int

dim_location <- address
    location_id int* = address_id
    address_line_1 varchar
    address_line_2 varchar?
    district varchar?
    city varchar
    postal_code varchar
    country varchar
    phone varchar

dim_counterparty <- counterparty, legal_address_id -> address
    counterparty_id int*
    counterparty_legal_name varchar
    counterparty_legal_address_line_1 varchar = address.address_line_1
    counterparty_legal_address_line_2 varchar? = address.address_line_2
    counterparty_legal_district varchar? = address.district
    counterparty_legal_city varchar = address.city
    counterparty_legal_postal_code varchar = address.postal_code
    counterparty_legal_country varchar = address.country
    counterparty_legal_phone_number varchar = address.phone

dim_currency <- currency
    currency_id int*
    currency_code varchar
    currency_name varchar = currency_name(currency_code)

dim_design <- design
    design_id int*
    design_name varchar
    file_location varchar
    file_name varchar

dim_payment_type <- payment_type
    payment_type_id int*
    payment_type_name varchar

dim_staff <- staff, department_id -> department
    staff_id int*
    first_name varchar
    last_name varchar
    department_name varchar = department.department_name
    location varchar = department.location
    email_address varchar

dim_transaction <- transaction
    transaction_id int*
    transaction_type varchar
    sales_order_id int?
    purchase_order_id int?

fact_sales_order <- sales_order, sales_record_id
    sales_order_id int
    created_date date -> dim_date = day(created_at)
    created_time time = time(created_at)
    last_updated_date date -> dim_date = day(last_updated)
    last_updated_time time = time(last_updated)
    sales_staff_id int -> dim_staff = staff_id
    counterparty_id int -> dim_counterparty
    units_sold int
    unit_price money
    currency_id int -> dim_currency
    design_id int -> dim_design
    agreed_payment_date date -> dim_date = date(agreed_payment_date)
    agreed_delivery_date date -> dim_date = date(agreed_delivery_date)
    agreed_delivery_location_id int -> dim_location

fact_purchase_order <- purchase_order, purchase_record_id
    purchase_order_id int
    created_date date -> dim_date = day(created_at)
    created_time time = time(created_at)
    last_updated_date date -> dim_date = day(last_updated)
    last_updated_time time = time(last_updated)
    staff_id int -> dim_staff
    counterparty_id int -> dim_counterparty
    item_code varchar
    item_quantity int
    item_unit_price money
    currency_id int -> dim_currency
    agreed_delivery_date date -> dim_date = date(agreed_delivery_date)
    agreed_payment_date date -> dim_date = date(agreed_payment_date)
    agreed_delivery_location_id int -> dim_location

fact_payment <- payment, payment_record_id
    payment_id int
    created_date date -> dim_date = day(created_at)
    created_time time = time(created_at)
    last_updated_date date -> dim_date = day(last_updated)
    last_updated_time time = time(last_updated)
    transaction_id int -> dim_transaction
    counterparty_id int -> dim_counterparty
    payment_amount money
    currency_id int -> dim_currency
    payment_type_id int -> dim_payment_type
    paid bool
    payment_date date -> dim_date = date(payment_date)
"""

_HEAD = re.compile(r"(?P<star>\w+) <- (?P<source>\w+)(?:, (?P<by>\w+) -> (?P<table>\w+))?(?:, (?P<record_id>\w+))?")
_COLUMN = re.compile(
    r"    (?P<name>\w+) (?P<type>\w+)(?P<mark>[?*]?)(?: -> (?P<dimension>\w+))?"
    r"(?: = (?:(?P<function>\w+)\((?P<argument>\w+)\)|(?:(?P<table>\w+)\.)?(?P<column>\w+)))?"
)


@dataclass(frozen=True)
class Column:
    """A column of a star table.

    Attributes:
        name: its name.
        type: `int`, `varchar`, `date`, `time`, `money` or `bool`.
        mark: `*` of a key, `?` of a column that may be null, or empty.
        dimension: the dimension that it refers to; empty where it refers to none.
        function: `day`, `time`, `date` or `currency_name`; empty where the value is the source's own.
        table: the table that its value is looked up in; empty where it comes from the driving table.
        source: the source column.
    """

    name: str
    type: str
    mark: str
    dimension: str
    function: str
    table: str
    source: str


@dataclass(frozen=True)
class StarTable:
    """A star table.

    Attributes:
        name: its name.
        source: its driving table; `calendar` for the calendar.
        looked_up_by: the column of the driving table that refers to the table values are looked up in; empty without.
        looked_up_in: that table.
        record_id: a fact's generated key; empty for a dimension.
        columns: in order, the natural key first.
    """

    name: str
    source: str
    looked_up_by: str
    looked_up_in: str
    record_id: str
    columns: tuple[Column, ...]

    @property
    def key(self) -> str:
        """The natural key."""
        return self.columns[0].name

    @property
    def view(self) -> str:
        """The view of a fact's current rows."""
        return self.name.replace("fact_", "current_")

    @property
    def nullable(self) -> set[str]:
        """The columns that may be null."""
        return {column.name for column in self.columns if column.mark == "?"}

    def uses(self, table: str) -> set[str]:
        """The columns of a source table that this one is computed from."""
        if table == self.looked_up_in:
            return {f"{table}_id", *(column.source for column in self.columns if column.table == table)}
        return {self.looked_up_by, *(column.source for column in self.columns if not column.table)} - {""}


def _tables(text: str) -> dict[str, StarTable]:
    tables = {}
    for block in text.strip().split("\n\n"):
        first, *lines = block.splitlines()
        head = _HEAD.fullmatch(first)
        assert head, first
        columns = []
        for line in lines:
            found = _COLUMN.fullmatch(line)
            assert found, line
            given = {name: value or "" for name, value in found.groupdict().items()}
            columns.append(
                Column(
                    given["name"],
                    given["type"],
                    given["mark"],
                    given["dimension"],
                    given["function"],
                    given["table"],
                    given["argument"] or given["column"] or given["name"],
                )
            )
        about = {name: value or "" for name, value in head.groupdict().items()}
        tables[about["star"]] = StarTable(
            about["star"], about["source"], about["by"], about["table"], about["record_id"], tuple(columns)
        )
    return tables


STAR_TABLES = _tables(_SPECIFICATION)
"""All star tables by name, dimensions first."""

CALENDAR = STAR_TABLES["dim_date"]

FACTS = {name: star for name, star in STAR_TABLES.items() if star.record_id}

DIMENSIONS = {name: star for name, star in STAR_TABLES.items() if not star.record_id}


def in_notation() -> str:
    """The star tables in the notation of `unit/schema/notation.py`, with what the load adds to facts."""
    lines = []
    for star in STAR_TABLES.values():
        columns = [
            f"{column.name} {column.type}{column.mark}"
            + (f" -> {column.dimension}.{DIMENSIONS[column.dimension].key}" if column.dimension else "")
            for column in star.columns
        ]
        if star.record_id:
            columns = [f"{star.record_id} bigint*", *columns, "is_deleted bool", "batch bigint"]
        lines.append(f"{star.name}: {', '.join(columns)}")
    return "\n".join(lines)
