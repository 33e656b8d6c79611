"""`totes metric`: lists metrics, prints and draws them, refuses what would be wrong, and changes nothing."""

import csv
import io
import json
import sys
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from totes_dagster.config.platform import Warehouse
from totes_dagster.local.server import EmbeddedPostgres
from totes_dagster.metrics.registry import METRICS
from totes_dagster.postgres.database import Database
from totes_dagster.warehouse.migrations import migrate
from totes_dagster_tests.companies import create_database
from totes_dagster_tests.integration.commands import refusal_here, run_here, totes_here

SCHEMA = 'the "new" \\ schema'

ROWS = """
    insert into dim_date select '2026-01-01'::date + day, 2026, 1, 1, 1, '', '', 1 from generate_series(0, 99) as day;
    insert into dim_staff values (1, 'Zoë', 'O''Keefe', 'Sales', 'Leds', 'e');
    insert into dim_location values (1, 'a', null, null, 'c', 'p', 'France', 't');
    insert into dim_currency values (1, 'GBP', 'British Pound'), (2, 'USD', 'US Dollar');
    insert into dim_design values (1, 'Plain', '/', 'f');
    insert into dim_counterparty values (1, '"Acme", Ltd', 'a', null, null, 'c', 'p', 'Chad', 't'),
        (17, '007', 'a', null, null, 'c', 'p', 'Chad', 't');
    insert into rate_on_day values ('2026-01-01', 2, 'USD', 1.2, 0.6, '2026-01-01');
    insert into load_history values (3, '2026-04-01 10:30+00', default, 'x', '{}');
    insert into fact_sales_order (sales_order_id, created_date, created_time, last_updated_date, last_updated_time,
        sales_staff_id, counterparty_id, units_sold, unit_price, currency_id, design_id, agreed_payment_date,
        agreed_delivery_date, agreed_delivery_location_id, batch)
    select id, '2026-01-01'::date + day, '09:00', '2026-01-01', '09:00', 1, customer, 1000, 2.01, currency, 1,
        '2026-02-01', '2026-02-01', 1, 3
    from (values (1, 0, 1, 1), (2, 0, 1, 2), (3, 31, 17, 1), (4, 32, 17, 2)) as orders (id, day, customer, currency)
"""


@pytest.fixture(scope="module")
def warehouse(postgres: EmbeddedPostgres) -> dict[str, str]:
    """Settings that name a warehouse with four orders, one of which has no rate, in a schema of an odd name."""
    create_database(postgres, "asked", "template1")
    url = postgres.url("asked")
    migrate(Warehouse(Database("warehouse", url), SCHEMA))
    with psycopg.connect(url) as connection:
        connection.execute(sql.SQL("set search_path to {}").format(sql.Identifier(SCHEMA)))
        connection.execute(ROWS)
    return {"WAREHOUSE_READER_URL": url, "WAREHOUSE_SCHEMA": SCHEMA}


WARNING = (
    "Orders or payments that net_sales leaves out, because there is no exchange rate for their day: 1. "
    "`totes metric unconverted --by currency --by month` says where they are.\n"
)


def printed(*arguments: str, **environment: str) -> str:
    """What the command prints to its end, with the warning that an order has no rate."""
    result = run_here("metric", *arguments, **environment)
    assert (result.exit_code, result.stderr) == (0, WARNING)
    return result.stdout


def test_a_metric_is_printed_as_a_table(warehouse: dict[str, str]) -> None:
    assert printed("net_sales", "--by", "month", "--by", "delivered_to", **warehouse).splitlines() == [
        "month       delivered_to  net_sales  unconverted",
        "2026-01-01  France         3,015.00            0",
        "2026-02-01  France         2,010.00            1",
        "Unit: GBP. As of 2026-04-01 10:30:00 UTC.",
    ]


def test_csv_and_json_have_every_digit(warehouse: dict[str, str]) -> None:
    rows = csv.DictReader(io.StringIO(printed("net_sales", "--by", "customer", "--csv", **warehouse)))
    assert sorted(rows, key=lambda row: row["customer_id"]) == [
        {"customer_id": "1", "customer": '"Acme", Ltd', "net_sales": "3015.00", "unconverted": "0"},
        {"customer_id": "17", "customer": "007", "net_sales": "2010.00", "unconverted": "1"},
    ]
    asked = printed("net_sales", "--by", "month", "--json", **warehouse)
    assert json.loads(asked, parse_float=Decimal) == {
        "metric": "net_sales",
        "meaning": METRICS["net_sales"].meaning,
        "unit": "GBP",
        "unconverted": 1,
        "as_of": "2026-04-01T10:30:00+00:00",
        "batch": 3,
        "rows": [
            {"month": "2026-01-01", "net_sales": Decimal("3015.00"), "unconverted": 0},
            {"month": "2026-02-01", "net_sales": Decimal("2010.00"), "unconverted": 1},
        ],
    }


@pytest.mark.parametrize(
    ("arguments", "orders"),
    [
        ([], 4),
        (["--since", "2026-02-01"], 2),
        (["--since", "2026-02-01", "--until", "2026-02-01"], 1),
        (["--where", "currency=USD"], 2),
        (["--where", "currency=USD", "--where", "currency=GBP", "--where", "month=2026-02"], 2),
        (["--where", "customer=17"], 2),
        (["--where", 'customer="Acme", Ltd'], 2),
        (["--where", "design=Pl=ain"], 0),
    ],
    ids=str,
)
def test_what_counts_can_be_restricted(warehouse: dict[str, str], arguments: list[str], orders: int) -> None:
    assert totes_here("metric", "orders", "--csv", *arguments, **warehouse) == f"orders\n{orders}\n"


def test_without_a_name_the_metrics_are_listed() -> None:
    lines = totes_here("metric").splitlines()
    assert lines[0].split() == ["metric", "unit", "meaning"]
    assert [line.split()[0] for line in lines[1:]] == list(METRICS)
    listed = json.loads(totes_here("metric", "--json"))
    assert [each["metric"] for each in listed] == list(METRICS)
    first = next(csv.DictReader(io.StringIO(totes_here("metric", "--csv"))))
    assert first["may be split by"].startswith("year, quarter, month, ")


@pytest.mark.parametrize("name", ["chart.svg", "chart.png"])
@pytest.mark.parametrize("by", [["month"], ["customer"], ["customer", "month"], ["currency", "weekday"]], ids=str)
def test_a_metric_is_drawn(warehouse: dict[str, str], tmp_path: Path, name: str, by: list[str]) -> None:
    file = tmp_path / name
    splits = [part for dimension in by for part in ("--by", dimension)]
    assert printed("net_sales", *splits, "--chart", str(file), **warehouse) == f"Drew net_sales into {file}.\n"
    drawn = file.read_bytes()
    if name == "chart.png":
        assert drawn.startswith(b"\x89PNG")
    else:
        text = drawn.decode()
        assert text.startswith("<svg")
        assert METRICS["net_sales"].meaning in text
        assert "1 of them are left out" in text


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["orders", "--by", "country"], "DimensionRefusedError: A country can be that of several things. Say which: "),
        (["net_sales_in_own_currency"], "CurrenciesMixedError: net_sales_in_own_currency has amounts in several "),
        (["turnover"], "MetricUnknownError: There is no metric turnover. The metrics are net_sales, "),
        (["orders", "--chart", "orders.svg"], "ChartError: A chart of orders needs one or two dimensions, but it is "),
        (["orders", "--by", "day", "--chart", "x.pdf"], "ChartError: A chart cannot be written to x.pdf: use a name "),
    ],
)
def test_what_would_be_wrong_is_refused(warehouse: dict[str, str], arguments: list[str], error: str) -> None:
    assert refusal_here("metric", *arguments, **warehouse).startswith(error)


@pytest.mark.parametrize("module", ["altair", "vl_convert"])
def test_without_the_extra_a_chart_is_refused_with_its_name(
    warehouse: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    error = refusal_here("metric", "orders", "--by", "day", "--chart", str(tmp_path / "x.svg"), **warehouse)
    assert error.startswith("ChartError: Charts need Altair and vl-convert, which are not installed. ")
    assert error.endswith("pip install 'totes-dagster[dashboard]'.")
    assert totes_here("metric", "orders", "--csv", **warehouse) == "orders\n4\n"


@pytest.mark.parametrize("schema", ["public", "nowhere"])
def test_a_warehouse_without_the_views_is_told_apart(warehouse: dict[str, str], schema: str) -> None:
    error = refusal_here("metric", "orders", **{**warehouse, "WAREHOUSE_SCHEMA": schema})
    assert error.startswith(f"WarehouseBehindError: The warehouse has no views for metrics in its schema {schema}. ")


@pytest.mark.parametrize("arguments", [["--by", "month"], ["orders", "--where", "currency"]], ids=str)
def test_a_question_that_is_not_whole_is_a_wrong_usage(arguments: list[str]) -> None:
    result = run_here("metric", *arguments)
    assert (result.exit_code, "Give " in result.stderr) == (2, True)
