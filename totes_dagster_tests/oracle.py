"""What the warehouse must hold, said a second time: plain SQL over the source, which shares nothing with the platform.

Only what the warehouse shows is judged here. How a test brings it about is in `end_to_end/world.py`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

Row = tuple[Any, ...]
Versions = dict[int, list[Row]]
"""The versions of a fact by natural key, oldest first: the fact's columns, `is_deleted` and `batch`."""

_CURRENCY_NAMES = """(values
    ('GBP', 'British Pound'), ('USD', 'US Dollar'), ('EUR', 'Euro'), ('SEK', 'Swedish Krona'), ('CHF', 'Swiss Franc'),
    ('JPY', 'Japanese Yen'), ('CAD', 'Canadian Dollar'), ('AUD', 'Australian Dollar'), ('NOK', 'Norwegian Krone'),
    ('DKK', 'Danish Krone'), ('PLN', 'Polish Zloty')) as names (code, name)"""

_CALENDAR = """
    select day::date as date_id, extract(year from day)::int as year, extract(month from day)::int as month,
           extract(day from day)::int as day, extract(isodow from day)::int as day_of_week,
           to_char(day, 'FMDay')::varchar as day_name, to_char(day, 'FMMonth')::varchar as month_name,
           extract(quarter from day)::int as quarter
    from (select date_trunc('year', min(day)) as first,
                 date_trunc('year', max(day)) + interval '1 year -1 day' as last from named) as years,
         generate_series(first, last, interval '1 day') as day"""
"""Every day of the years from the first to the last that `named` has a day of."""

_STAMPS = """created_at::date as created_date, created_at::time as created_time,
    last_updated::date as last_updated_date, last_updated::time as last_updated_time"""


@dataclass(frozen=True)
class Fact:
    """A fact as it must be: its record id, its view, what its rows are, and the dimension behind each reference."""

    record_id: str
    view: str
    expected: str
    references: dict[str, str]


DIMENSIONS: dict[str, str] = {
    "dim_date": f"""
        with named as (
            select created_at::date as day from sales_order union select last_updated::date from sales_order
            union select agreed_payment_date::date from sales_order
            union select agreed_delivery_date::date from sales_order
            union select created_at::date from purchase_order union select last_updated::date from purchase_order
            union select agreed_payment_date::date from purchase_order
            union select agreed_delivery_date::date from purchase_order
            union select created_at::date from payment union select last_updated::date from payment
            union select payment_date::date from payment)
        {_CALENDAR}""",
    "dim_location": """
        select address_id as location_id, address_line_1::varchar, address_line_2::varchar, district::varchar,
               city::varchar, postal_code::varchar, country::varchar, phone::varchar
        from address""",
    "dim_counterparty": """
        select counterparty_id, counterparty_legal_name::varchar,
               address_line_1::varchar as counterparty_legal_address_line_1,
               address_line_2::varchar as counterparty_legal_address_line_2,
               district::varchar as counterparty_legal_district, city::varchar as counterparty_legal_city,
               postal_code::varchar as counterparty_legal_postal_code, country::varchar as counterparty_legal_country,
               phone::varchar as counterparty_legal_phone_number
        from counterparty join address on address_id = legal_address_id""",
    "dim_currency": f"""
        select currency_id, currency_code::varchar, name::varchar as currency_name
        from currency left join {_CURRENCY_NAMES} on code = currency_code""",
    "dim_design": """
        select design_id, design_name::varchar, file_location::varchar, file_name::varchar from design""",
    "dim_payment_type": "select payment_type_id, payment_type_name::varchar from payment_type",
    "dim_staff": """
        select staff_id, first_name::varchar, last_name::varchar, department_name::varchar,
               coalesce(location, 'Unknown')::varchar as location, email_address::varchar
        from staff join department using (department_id)""",
    "dim_transaction": """
        select transaction_id, transaction_type::varchar, sales_order_id, purchase_order_id from transaction""",
}
"""The members that the source's rows make."""

PLACEHOLDERS: dict[str, str] = {
    "dim_design": """
        select distinct design_id, 'Unknown', 'Unknown', 'Unknown' from sales_order
        where design_id not in (select design_id from design)""",
    "dim_transaction": """
        select distinct transaction_id, 'Unknown', null::int, null::int from payment
        where transaction_id not in (select transaction_id from transaction)""",
}
"""The members that the two references make which the source does not enforce."""

FACTS: dict[str, Fact] = {
    "fact_sales_order": Fact(
        "sales_record_id",
        "current_sales_order",
        f"""select sales_order_id, {_STAMPS}, staff_id as sales_staff_id, counterparty_id, units_sold, unit_price,
                   currency_id, design_id, agreed_payment_date::date, agreed_delivery_date::date,
                   agreed_delivery_location_id
            from sales_order""",
        {
            "created_date": "dim_date",
            "last_updated_date": "dim_date",
            "sales_staff_id": "dim_staff",
            "counterparty_id": "dim_counterparty",
            "currency_id": "dim_currency",
            "design_id": "dim_design",
            "agreed_payment_date": "dim_date",
            "agreed_delivery_date": "dim_date",
            "agreed_delivery_location_id": "dim_location",
        },
    ),
    "fact_purchase_order": Fact(
        "purchase_record_id",
        "current_purchase_order",
        f"""select purchase_order_id, {_STAMPS}, staff_id, counterparty_id, item_code::varchar, item_quantity,
                   item_unit_price, currency_id, agreed_delivery_date::date, agreed_payment_date::date,
                   agreed_delivery_location_id
            from purchase_order""",
        {
            "created_date": "dim_date",
            "last_updated_date": "dim_date",
            "staff_id": "dim_staff",
            "counterparty_id": "dim_counterparty",
            "currency_id": "dim_currency",
            "agreed_payment_date": "dim_date",
            "agreed_delivery_date": "dim_date",
            "agreed_delivery_location_id": "dim_location",
        },
    ),
    "fact_payment": Fact(
        "payment_record_id",
        "current_payment",
        f"""select payment_id, {_STAMPS}, transaction_id, counterparty_id, payment_amount, currency_id,
                   payment_type_id, paid, payment_date::date
            from payment""",
        {
            "created_date": "dim_date",
            "last_updated_date": "dim_date",
            "transaction_id": "dim_transaction",
            "counterparty_id": "dim_counterparty",
            "currency_id": "dim_currency",
            "payment_type_id": "dim_payment_type",
            "payment_date": "dim_date",
        },
    ),
}

DIMENSION_KEYS = {
    "dim_date": "date_id",
    "dim_location": "location_id",
    "dim_counterparty": "counterparty_id",
    "dim_currency": "currency_id",
    "dim_design": "design_id",
    "dim_payment_type": "payment_type_id",
    "dim_staff": "staff_id",
    "dim_transaction": "transaction_id",
}

_SHOWN = 3


def differences(source_url: str, warehouse_url: str, schema: str = "public", *, strict: bool = False) -> list[str]:
    """Where the warehouse is not what the source says, one line each; empty when all is well.

    Every column of every row of all eleven tables is compared, with its type: facts as the `current_*` views show them.
    A dimension may also hold members that the source has no more, and the calendar further whole years; with `strict`,
    which is for sources that nothing was deleted from, it may not.
    """
    found: list[str] = []
    with _reading(source_url) as source, _reading(warehouse_url, schema) as warehouse:
        for name, expected_sql in DIMENSIONS.items():
            columns, expected = _select(source, expected_sql)
            found += _wrong_columns(warehouse, name, columns, extra=[])
            actual = _rows_of(warehouse, name, columns)
            present = set() if strict else {row[0] for row in actual}
            leftovers = [] if strict else _leftovers(warehouse, name, expected, actual)
            placeholders = _select(source, PLACEHOLDERS[name])[1] if name in PLACEHOLDERS else []
            # What was deleted while something refers to it stays as it was, and needs no placeholder.
            expected += leftovers + [row for row in placeholders if row[0] not in present]
            found += _compared(name, expected, actual)
        for name, fact in FACTS.items():
            columns, expected = _select(source, fact.expected)
            found += _wrong_columns(warehouse, name, columns, extra=[fact.record_id, "is_deleted", "batch"])
            found += _compared(fact.view, expected, _rows_of(warehouse, fact.view, columns))
    return found


def broken_foreign_keys(warehouse_url: str, schema: str = "public") -> list[str]:
    """References of facts, in any version, that point nowhere; and references that the database does not enforce."""
    found: list[str] = []
    with _reading(warehouse_url, schema) as warehouse:
        enforced = set(
            warehouse.execute(
                """
                select conrelid::regclass::text, attname::text, confrelid::regclass::text
                from pg_constraint join pg_attribute on attrelid = conrelid and attnum = conkey[1]
                where contype = 'f' and convalidated and connamespace = quote_ident(current_schema())::regnamespace"""
            ).fetchall()
        )
        for name, fact in FACTS.items():
            for column, dimension in fact.references.items():
                if (name, column, dimension) not in enforced:
                    found.append(f"{name}.{column} has no valid foreign key to {dimension}.")
                query = sql.SQL("select count(*) from {} where {} not in (select {} from {})").format(
                    *map(sql.Identifier, (name, column, DIMENSION_KEYS[dimension], dimension))
                )
                dangling = _value(warehouse, query)
                if dangling:
                    found.append(f"{dangling} rows of {name} have a {column} that {dimension} lacks.")
    return found


def current_rows(source_url: str) -> dict[str, dict[int, Row]]:
    """What each fact must show now, by natural key."""
    with _reading(source_url) as source:
        return {name: {row[0]: row for row in _select(source, fact.expected)[1]} for name, fact in FACTS.items()}


def history(warehouse_url: str, schema: str = "public") -> dict[str, Versions]:
    """Every version that each fact holds, without its generated id."""
    with _reading(warehouse_url, schema) as warehouse:
        found: dict[str, Versions] = {}
        for name, fact in FACTS.items():
            query = sql.SQL("select * from {} order by {}").format(sql.Identifier(name), sql.Identifier(fact.record_id))
            versions = found.setdefault(name, {})
            for row in warehouse.execute(query):
                versions.setdefault(row[1], []).append(row[1:])
        return found


def dimension_rows(warehouse_url: str, schema: str = "public") -> dict[str, list[Row]]:
    """Every row of each dimension, in order of its key."""
    with _reading(warehouse_url, schema) as warehouse:
        return {
            name: warehouse.execute(
                sql.SQL("select * from {} order by {}").format(sql.Identifier(name), sql.Identifier(key))
            ).fetchall()
            for name, key in DIMENSION_KEYS.items()
        }


@contextmanager
def _reading(url: str, schema: str = "public") -> Iterator[psycopg.Connection]:
    """A connection that sees one state of the database."""
    with psycopg.connect(url) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        connection.execute("select set_config('search_path', quote_ident(%s), true)", [schema])
        yield connection


def _select(connection: psycopg.Connection, query: str) -> tuple[dict[str, str], list[Row]]:
    """The columns of a query, with their types, and its rows."""
    cursor = connection.execute(query)
    return _described(cursor), cursor.fetchall()


def _described(cursor: psycopg.Cursor) -> dict[str, str]:
    return {column.name: column.type_display for column in cursor.description or ()}


def _rows_of(warehouse: psycopg.Connection, table: str, columns: dict[str, str]) -> list[Row]:
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    return warehouse.execute(sql.SQL("select {} from {}").format(names, sql.Identifier(table))).fetchall()


def _wrong_columns(
    warehouse: psycopg.Connection, table: str, expected: dict[str, str], extra: list[str]
) -> Iterator[str]:
    found = _described(warehouse.execute(sql.SQL("select * from {} limit 0").format(sql.Identifier(table))))
    if sorted(found) != sorted([*expected, *extra]):
        yield f"{table} has the columns {', '.join(found)}, not {', '.join(expected)}."
    for name, type_ in expected.items():
        if _comparable(found.get(name, type_)) != _comparable(type_):
            yield f"{table}.{name} is {found[name]}, not {type_}."


def _comparable(type_: str) -> str:
    return "text" if type_.startswith("varchar") else type_


def _leftovers(warehouse: psycopg.Connection, dimension: str, expected: list[Row], actual: list[Row]) -> list[Row]:
    """A dimension's rows that the source does not account for, and that are right all the same."""
    if dimension == "dim_date":
        # Years that only former versions name; whole years they must be.
        calendar = _select(warehouse, f"with named as (select date_id as day from dim_date) {_CALENDAR}")[1]
        return sorted(set(calendar) - set(expected))
    keys = {row[0] for row in expected}
    return [row for row in actual if row[0] not in keys]


def _compared(name: str, expected: list[Row], actual: list[Row]) -> Iterator[str]:
    if len(actual) != len(set(actual)):
        yield f"{name} has {len(actual) - len(set(actual))} rows more than once."
    for what, rows in (
        ("lacks", set(expected) - set(actual)),
        ("has too much", set(actual) - set(expected)),
    ):
        if rows:
            shown = "; ".join(map(str, sorted(rows, key=lambda row: row[0])[:_SHOWN]))
            yield f"{name} {what}, {len(rows)} rows: {shown}"


def _value(connection: psycopg.Connection, query: sql.Composed) -> Any:
    row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]
