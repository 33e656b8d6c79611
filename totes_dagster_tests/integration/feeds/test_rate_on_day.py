"""`rate_on_day` against an oracle in plain Python, whatever the rates, the calendar and the currencies are."""

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from totes_dagster.feeds.declared import EXCHANGE_RATE
from totes_dagster.postgres.database import Database
from totes_dagster.warehouse.migrations import migrate
from totes_dagster.warehouse.rates import keep_rates
from totes_dagster_tests.feeding import Feeding, rates
from totes_dagster_tests.unit.warehouses import NewWarehouse

FIRST = date(2023, 1, 1)
DAYS = """
    insert into dim_date select day, extract(year from day), 1, 1, 1, 'a day', 'a month', 1
    from generate_series('{}'::date, '{}', '1 day') as day"""


def right(days: list[date], currencies: dict[int, str], published: dict[tuple[str, date], Decimal]) -> list[Any]:
    """What the table must show."""
    rows = []
    of_days = [day for code, day in published if code != "EUR" and days[0] - timedelta(7) <= day <= days[-1]]
    first, last = (min(of_days), max(of_days) + timedelta(7)) if of_days else (date.max, date.min)
    for day in days:
        if not first <= day <= last:
            continue
        for currency, code in currencies.items():
            own, pound = held(published, code, day), held(published, "GBP", day)
            older = min(own[1], pound[1]) if own and pound else None
            rows.append((day, currency, code, own[0] if own else None, pound[0] if pound else None, older))
    return sorted(rows, key=lambda row: row[:2])


def held(published: dict[tuple[str, date], Decimal], code: str, day: date) -> tuple[Decimal, date] | None:
    """The newest rate of a currency on a day that is at most seven days old, and the day it is from."""
    if code == "EUR":
        return Decimal(1), day
    for age in range(8):
        if rate := published.get((code, day - timedelta(age))):
            return rate, day - timedelta(age)
    return None


def ask(warehouse: NewWarehouse) -> tuple[list[date], dict[int, str], dict[tuple[str, date], Decimal]]:
    """The days, the currencies and the newest rates of a warehouse."""
    days = [day for (day,) in warehouse.ask("select date_id from dim_date order by 1")]
    currencies = dict(warehouse.ask("select currency_id, currency_code from dim_currency"))
    newest = warehouse.ask("select quote_code, rate_date, rate from fact_exchange_rate order by batch")
    return days, currencies, {(code, day): rate for code, day, rate in newest}


def check(warehouse: NewWarehouse) -> None:
    with warehouse.begin() as transaction:
        keep_rates(transaction)
        transaction.commit()
    shown = warehouse.ask("select * from rate_on_day order by date_id, currency_id")
    assert shown == right(*ask(warehouse))


@pytest.fixture
def empty(database: Callable[..., str]) -> NewWarehouse:
    """A warehouse in which there is nothing yet."""
    warehouse = NewWarehouse(Database("warehouse", database("warehouse")), "odd %s; Ñ")
    migrate(warehouse)
    return warehouse


_CODES = st.sampled_from(["USD", "GBP", "EUR", "JPY", "Unknown"])
_RATES = st.tuples(_CODES, st.integers(-10, 45), st.decimals("0.00000001", "9999999999", places=8))


@settings(
    max_examples=12, phases=[Phase.generate], derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
@given(
    steps=st.lists(
        st.tuples(
            st.integers(0, 12),  # by how many days the calendar grows
            st.dictionaries(st.integers(1, 5), _CODES, max_size=3),  # currencies that are new, or are renamed
            st.lists(_RATES, max_size=8),
        ),
        min_size=2,
        max_size=3,
    )
)
def test_the_table_is_that_of_the_oracle_after_every_change(empty: NewWarehouse, steps: list[Any]) -> None:
    warehouse = empty
    warehouse.run("truncate dim_date, dim_currency, fact_exchange_rate, rate_on_day cascade")
    warehouse.run(DAYS.format("2023-01-01", "2023-01-14"))
    for batch, (growth, currencies, published) in enumerate(steps, 1):
        with warehouse.connect() as connection:
            ((last,),) = connection.execute("select max(date_id) from dim_date").fetchall()
            connection.execute(DAYS.format(last + timedelta(1), last + timedelta(growth)))
            for currency, code in currencies.items():
                connection.execute(
                    "insert into dim_currency values (%s, %s, 'name') "
                    "on conflict (currency_id) do update set currency_code = excluded.currency_code",
                    [currency, code],
                )
            for (code, day), rate in {(code, day): rate for code, day, rate in published}.items():
                connection.execute(
                    "insert into fact_exchange_rate (quote_code, rate_date, rate, batch) values (%s, %s, %s, %s)",
                    [code, FIRST + timedelta(day), rate, batch],
                )
        check(warehouse)


@pytest.fixture
def days(feeding: Feeding) -> tuple[date, date]:
    """The first and the last day of the calendar."""
    ((first, last),) = feeding.world.ask("select min(date_id), max(date_id) from dim_date")
    return first, last


def wrong(feeding: Feeding) -> list[Any]:
    """The rows of the table that differ from those of the oracle."""
    warehouse = NewWarehouse(feeding.world.platform.warehouse.database, "public")
    shown = warehouse.ask("select * from rate_on_day order by date_id, currency_id")
    return sorted(set(shown) ^ set(right(*ask(warehouse))), key=str)


def test_the_loads_of_rates_keep_it(feeding: Feeding, days: tuple[date, date]) -> None:
    assert wrong(feeding) == []
    feeding.drop(EXCHANGE_RATE, "a", rates("GBP", days[0], "0.8", "0.85", None, None, None, "0.9"))
    feeding.drop(EXCHANGE_RATE, "b", rates("USD", days[0] - timedelta(3), "1.1", "1.2"))
    feeding.drop(EXCHANGE_RATE, "c", rates("EUR", days[0], "1.1"))  # nobody doubts that it is 1
    feeding.refresh(EXCHANGE_RATE)
    assert wrong(feeding) == []
    feeding.drop(EXCHANGE_RATE, "d", rates("GBP", days[0] + timedelta(1), "0.86", "0.87"))
    feeding.refresh(EXCHANGE_RATE)
    assert wrong(feeding) == []
    rate = "select gbp_per_eur, rate_date from rate_on_day where date_id = %s and currency_code = 'GBP'"
    assert feeding.world.ask(rate, days[0] + timedelta(4)) == [(Decimal("0.87"), days[0] + timedelta(2))]


def test_the_loads_of_totesys_keep_it(feeding: Feeding, days: tuple[date, date]) -> None:
    new_year = days[1] + timedelta(1)
    feeding.drop(EXCHANGE_RATE, "a", rates("GBP", days[1] - timedelta(1), "0.8", "0.81"))
    feeding.drop(EXCHANGE_RATE, "b", rates("SEK", new_year, "11.1"))
    feeding.refresh(EXCHANGE_RATE)
    assert wrong(feeding) == []
    feeding.world.change(
        "insert into currency values (99, 'SEK', now(), now())",
        "update currency set currency_code = 'CHF' where currency_code = 'USD'",
        f"update sales_order set agreed_delivery_date = '{new_year}', last_updated = now() where sales_order_id = 1",
    )
    feeding.world.refresh()
    assert wrong(feeding) == []
    shown = feeding.world.ask("select * from rate_on_day where currency_code = 'SEK' and date_id = %s", new_year)
    assert shown == [(new_year, 99, "SEK", Decimal("11.1"), Decimal("0.81"), days[1])]


def test_what_is_right_already_is_not_written_again(feeding: Feeding, days: tuple[date, date]) -> None:
    feeding.drop(EXCHANGE_RATE, "a", rates("GBP", days[0], "0.8"))
    feeding.refresh(EXCHANGE_RATE)
    rows = "select date_id, currency_id, xmin::text from rate_on_day"
    before = set(feeding.world.ask(rows))
    feeding.drop(EXCHANGE_RATE, "b", rates("GBP", days[0], "0.8", "0.8"))
    feeding.refresh(EXCHANGE_RATE)
    after = set(feeding.world.ask(rows))
    # Of pounds and euros, the seven days on which the first rate held; of each currency, one more day.
    assert (len(before - after), len(after - before)) == (7 + 7, 7 + 7 + 3)


def test_rows_that_others_have_added_or_changed_are_put_right(feeding: Feeding, days: tuple[date, date]) -> None:
    feeding.drop(EXCHANGE_RATE, "a", rates("GBP", days[0], "0.8"))
    feeding.refresh(EXCHANGE_RATE)
    with psycopg.connect(feeding.world.warehouse_url) as connection:
        connection.execute("insert into rate_on_day values ('1900-01-01', 1, 'USD')")
        connection.execute("update rate_on_day set per_eur = 7 where currency_id = 1")
    feeding.drop(EXCHANGE_RATE, "b", rates("GBP", days[0], "0.81"))
    feeding.refresh(EXCHANGE_RATE)
    assert wrong(feeding) == []


def test_days_that_only_a_wrong_date_brought_to_the_calendar_have_no_row(empty: NewWarehouse) -> None:
    empty.run(DAYS.format("2023-01-01", "2023-01-31") + " where extract(day from day) <> 5")
    empty.run(DAYS.format("9999-12-01", "9999-12-31"))
    empty.run("insert into dim_currency values (1, 'USD', 'name'), (2, 'GBP', 'name')")
    check(empty)
    assert empty.ask("select count(*) from rate_on_day") == [(0,)]
    empty.run(
        "insert into fact_exchange_rate (quote_code, rate_date, rate, batch) values ('GBP', '2023-01-02', 0.8, 1)"
    )
    check(empty)
    assert empty.ask("select min(date_id)::text, max(date_id)::text, count(*) from rate_on_day") == [
        ("2023-01-02", "2023-01-09", 7 * 2)
    ]


def test_a_currency_without_a_code_which_an_adopted_table_may_have_has_no_rates(empty: NewWarehouse) -> None:
    empty.run(DAYS.format("2023-01-01", "2023-01-02"))
    empty.run("alter table dim_currency alter currency_code drop not null")
    empty.run("insert into dim_currency values (1, null, 'name'), (2, 'EUR', 'name')")
    empty.run(
        "insert into fact_exchange_rate (quote_code, rate_date, rate, batch) values ('GBP', '2023-01-01', 0.8, 1)"
    )
    with empty.begin() as transaction:
        keep_rates(transaction)
        transaction.commit()
    assert empty.ask("select distinct currency_id from rate_on_day") == [(2,)]
