"""The notebooks as scripts: what they say is what plain SQL says, and they say so in words if there is nothing."""

import runpy
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from totes_dagster.config.platform import Warehouse
from totes_dagster.feed_pipeline import fetch_exchange_rates, refresh_feed
from totes_dagster.feeds.declared import FEEDS
from totes_dagster.feeds.landing import LandingZone
from totes_dagster.feeds.rates import RatesSource
from totes_dagster.lake.zone import Zone
from totes_dagster.local.server import EmbeddedPostgres
from totes_dagster.pipeline import refresh
from totes_dagster.postgres.database import Database
from totes_dagster.simulator.files import FileDrops
from totes_dagster.simulator.rates_server import RatesServer
from totes_dagster.simulator.seeding import seed
from totes_dagster.warehouse.feed_status import rates_needed
from totes_dagster.warehouse.migrations import migrate
from totes_dagster_tests.companies import Companies, Company
from totes_dagster_tests.integration.commands import start_python
from totes_dagster_tests.integration.notebooks.plain_sql import PlainSql
from totes_dagster_tests.system.platforms import lake_in, platform_at
from totes_dagster_tests.world import UNTIL

pytestmark = pytest.mark.slow

NOTEBOOKS = Path(__file__).parents[3] / "notebooks"

READER = """
    create role notebook_reader login;
    grant usage on schema public to notebook_reader;
    grant select on all tables in schema public to notebook_reader
"""

CORRECTIONS = (
    "update sales_order set units_sold = units_sold + 1000 where sales_order_id = 2",
    "update sales_order set units_sold = 1, unit_price = 9.99, last_updated = now() at time zone 'UTC' "
    "where sales_order_id = 3",
)
DELETION = (
    "create table kept as select * from sales_order where sales_order_id = 7",
    "delete from payment using transaction "
    "where payment.transaction_id = transaction.transaction_id and sales_order_id = 7",
    "delete from transaction where sales_order_id = 7",
    "delete from sales_order where sales_order_id = 7",
)
RETURN = ("insert into sales_order select * from kept", "drop table kept")


@pytest.fixture(scope="module")
def url(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A warehouse with all feeds, corrections, a deletion, and an order that came back; as its reader sees it."""
    for name in ("notebook_source", "notebook_warehouse"):
        assert postgres.create_database(name)
    source, url = postgres.url("notebook_source"), postgres.url("notebook_warehouse")
    folder = tmp_path_factory.mktemp("notebooks")
    seed(source, orders=200, until=UNTIL)
    platform = platform_at(source, url, lake_in(folder))
    for statements in ((), CORRECTIONS, DELETION, RETURN):
        with psycopg.connect(source) as connection:
            for statement in statements:
                connection.execute(statement)
        refresh(platform)
    landing = LandingZone(Zone((folder / "landing").as_uri()), timedelta(0))
    FileDrops(source, folder / "landing", seed=1).drop_history()
    with RatesServer() as server:
        needed = rates_needed(platform.warehouse)
        fetch_exchange_rates(RatesSource.parse(server.url), needed, landing, platform.lake.ingestion)
    for feed in FEEDS.values():
        refresh_feed(feed, landing, platform.lake, platform.warehouse)
    with psycopg.connect(url) as connection:
        connection.execute(READER)
    yield make_conninfo(url, user="notebook_reader")
    with psycopg.connect(url) as connection:
        connection.execute("drop owned by notebook_reader; drop role notebook_reader")


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """A function that runs a notebook in this process, and returns what it printed."""

    def run(name: str, warehouse: str) -> str:
        monkeypatch.chdir(tmp_path)  # there is no file .env
        monkeypatch.setenv("WAREHOUSE_READER_URL", warehouse)
        runpy.run_path(str(NOTEBOOKS / f"{name}.py"), run_name="__main__")
        return capsys.readouterr().out

    return run


def script(name: str, folder: Path, **environment: str) -> tuple[int, str, str]:
    """The exit status and the output of a notebook that is run as a script."""
    with start_python(str(NOTEBOOKS / f"{name}.py"), cwd=folder, **environment) as process:
        printed, errors = process.communicate(timeout=120)
    return process.returncode, printed, errors


def test_the_numbers_of_the_company_are_those_of_plain_sql(url: str, tmp_path: Path) -> None:
    status, printed, errors = script("company", tmp_path, WAREHOUSE_READER_URL=url)
    assert (status, errors) == (0, "")
    with psycopg.connect(url) as connection:
        assert dict(section.split("\n") for section in printed.strip().split("\n\n")) == PlainSql(connection).answers


def test_the_history_is_that_of_plain_sql(url: str, tmp_path: Path) -> None:
    status, printed, errors = script("history", tmp_path, WAREHOUSE_READER_URL=url)
    assert (status, errors) == (0, "")
    with psycopg.connect(url) as connection:
        ((units, now),) = connection.execute(
            "select (select sum(units_sold) from fact_sales_order where batch = 1), "
            "(select sum(units_sold) from current_sales_order)"
        ).fetchall()
        ((moment,),) = connection.execute("select max(snapshot_at at time zone 'UTC') from load_history").fetchall()
    assert printed.splitlines() == [
        f"The warehouse has loaded 4 batches; the newest shows the source as of {moment:%Y-%m-%d %H:%M:%S} UTC.",
        "Sales order 7 has 3 versions; the newest came with batch 4.",
        "204 versions of 200 sales orders, 0 of them deleted: the view shows 200.",
        f"At batch 1, 200 sales orders for {units:,} units were known; now there are 200 for {now:,}.",
        "2 corrections, 1 of them without a new last_updated. The column changed most often is units_sold.",
        "1 deletion, after which 1 sales order came back.",
        "2 sales orders changed in worth.",
    ]


def test_the_query_of_the_exercise_changes_nothing(companies: Companies) -> None:
    warehouse = companies.seen(Company()).warehouse
    read = runpy.run_path(str(NOTEBOOKS / "history.py"))["read"]
    count = "select count(*), count(*) from load_history"
    for query in ("delete from load_history", "commit; delete from load_history", f"{count}; {count}"):
        rows, problem = read(warehouse, {}, 1, query)
        assert (rows["your query"], problem != "") == ([], True)
    assert read(warehouse, {}, 1, count) == ({"your query": [{"count 1": 1, "count 2": 1}]}, "")


def test_what_cannot_be_converted_and_what_is_old_is_said(companies: Companies, here: Callable[..., str]) -> None:
    warehouse = companies.seen(Company()).warehouse.database.url
    with psycopg.connect(warehouse) as connection:
        connection.execute("update load_history set snapshot_at = now() - interval '305 minutes'")
        ((missing,),) = connection.execute(
            "select count(*) from current_sales_order join dim_currency using (currency_id) "
            "where currency_code <> 'GBP'"
        ).fetchall()
    printed = here("company", warehouse)
    assert "That was 5 hours ago: either nothing has changed since then, or changes do not arrive." in printed
    assert f"Left out, because there is no exchange rate for their day: {missing} sales orders of net_sales." in printed
    assert "Not known: there are no targets for complete months." in printed
    assert "Not known: no shipments have been reported." in printed


def test_a_company_without_orders_has_answers_too(companies: Companies, here: Callable[..., str]) -> None:
    warehouse = companies.seen(Company(orders=0)).warehouse.database.url
    printed = here("company", warehouse)
    for said in ("Nothing yet: there are no sales orders.", "Customers owe nothing. Suppliers are owed nothing."):
        assert said in printed
    assert "No sales order has been corrected yet." in here("history", warehouse)


@pytest.mark.parametrize("name", ["company", "history"])
def test_an_empty_warehouse_is_said_to_be_empty(
    name: str, database: Callable[..., str], here: Callable[..., str]
) -> None:
    url = database("warehouse")
    migrate(Warehouse(Database("warehouse", url)))
    assert here(name, url) == (
        "The warehouse is empty: no batch has been loaded yet. Run totes refresh, or start the platform.\n"
    )


def test_without_a_warehouse_a_notebook_says_what_to_do(tmp_path: Path) -> None:
    status, printed, errors = script("company", tmp_path, TOTES_HOME=str(tmp_path / "nothing"))
    assert (status, printed, errors) == (1, "", "Nothing here yet. Run `totes demo` or `totes dev`.\n")
