"""The server: who shares what, what is pushed when a batch arrives, what is refused, and what is said in words."""

import csv
import io
import re
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from totes_dagster import pipeline
from totes_dagster.config.platform import Warehouse
from totes_dagster.dashboard.scripts import asset
from totes_dagster.dashboard.site import PAGES
from totes_dagster.postgres.database import Database
from totes_dagster_tests.companies import Companies, Company
from totes_dagster_tests.dashboards import Served, served
from totes_dagster_tests.integration.dashboard.test_answers import Watched
from totes_dagster_tests.world import NEW_ORDER, World

HOSTILE = "<script>alert(1)</script>"


def figure(text: str, label: str) -> str:
    (value,) = re.findall(rf"<dt[^>]*>{label}</dt><dd>([^<]*)</dd>", text)
    return str(value)


def version(text: str) -> str:
    (found,) = re.findall(r'data-version="(\w+)"', text)
    return str(found)


@pytest.mark.parametrize("page", PAGES)
def test_every_page_is_served(dashboard: Served, page: str) -> None:
    answer = dashboard.get(f"/{page}")
    assert answer.status == 200
    assert f"<h1>{PAGES[page].title}</h1>" in answer.text
    assert answer.text.count('class="question"') == len(PAGES[page].questions)


def test_viewers_at_once_cause_one_read(warehouse: Warehouse) -> None:
    database = Watched("warehouse", warehouse.database.url)
    with served(Warehouse(database)) as dashboard, ThreadPoolExecutor(8) as viewers:
        path = "/sales?since=2026-01-03"
        pages = list(viewers.map(lambda _: dashboard.get(path).text, range(16)))
    reads = [query for connection in database.connections for query in connection if "'2026-01-03'" in query]
    assert len(reads) == 1
    assert len({version(page) for page in pages}) == 1


def test_a_batch_is_pushed_to_who_looks_and_moves_the_numbers(world: World) -> None:
    with served(world.platform.warehouse) as dashboard:
        before = dashboard.get("/sales").text
        with dashboard.events(f"page=sales&version={version(before)}") as events:
            world.change(NEW_ORDER)
            world.refresh()
            event = next(events)
            after = dashboard.get("/sales").text
    assert (event["batch"], event["version"]) == (2, version(after))
    assert [figure(text, "Orders") for text in (before, after)] == ["20", "21"]


def test_who_looks_at_something_older_is_told_at_once(dashboard: Served) -> None:
    shown = dashboard.get("/health").text
    with dashboard.events("page=health&version=0123") as events:
        assert next(events)["version"] == version(shown)


def test_filters_change_the_numbers_and_the_addresses(dashboard: Served) -> None:
    everything, euros = (dashboard.get(path).text for path in ("/sales", "/sales?currency=EUR"))
    assert figure(everything, "Net sales").startswith("£")
    assert figure(euros, "Net sales").startswith("€")
    assert int(figure(euros, "Orders").replace(",", "")) < int(figure(everything, "Orders").replace(",", ""))
    assert 'href="/payments?currency=EUR"' in euros


def test_a_form_with_empty_fields_leads_to_a_short_address(dashboard: Served) -> None:
    answer = dashboard.get("/sales?since=&until=&currency=EUR&country=&department=")
    assert (answer.status, answer.headers["location"]) == (303, "/sales?currency=EUR")
    assert dashboard.get("/").headers["location"] == "/sales"


def test_a_download_has_the_rows_of_the_page(dashboard: Served) -> None:
    answer = dashboard.get("/sales/by-month.csv?currency=USD")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="totes-sales-by-month.csv"'
    assert {row["currency"] for row in rows} == {"USD"}
    total = figure(dashboard.get("/sales?currency=USD").text, "Orders")
    assert f"{sum(int(row['orders']) for row in rows):,}" == total


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/sales?colour=red", "There is no filter &#x27;colour&#x27;."),
        ("/sales?since=yesterday", "The filter since is &#x27;yesterday&#x27;, which is not a day."),
        ("/sales?currency=%3Cscript%3E", "&#x27;&lt;script&gt;&#x27;, which is not a currency&#x27;s code."),
        ("/sales/by-month.csv?since=2026-03-01&until=2026-02-01", "The period ends on 2026-02-01"),
        ("/events?page=sales&currency=1", "which is not a currency&#x27;s code."),
    ],
)
def test_nonsense_is_refused_by_a_page_that_says_why(dashboard: Served, path: str, reason: str) -> None:
    answer = dashboard.get(path)
    assert answer.status == 400
    assert "These filters make no sense" in answer.text
    assert reason in answer.text


@pytest.mark.parametrize("path", ["/nothing", "/sales/nothing.csv", "/nothing/by-month.csv", "/assets/x.js", "/events"])
def test_what_is_not_there_is_said(dashboard: Served, path: str) -> None:
    answer = dashboard.get(path)
    assert answer.status == 404
    assert f"There is nothing at {path}." in answer.text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_only_reading_is_answered(dashboard: Served, method: str) -> None:
    answer = dashboard.get("/sales", method)
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
    assert dashboard.get("/sales", "HEAD").status == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:3001", 200),
        ("127.0.0.1:80", 200),
        ("[::1]:3001", 200),
        ("evil.example", 421),
        ("localhost.evil.example:3001", 421),
        ("127.0.0.1.evil.example", 421),
        ("[::2]", 421),
        ("", 421),
    ],
)
def test_a_name_that_a_site_has_let_resolve_to_this_machine_is_refused(
    dashboard: Served, host: str, status: int
) -> None:
    assert dashboard.get("/assets/dashboard.js", Host=host).status == status


@pytest.mark.parametrize("path", ["/sales", "/assets/dashboard.js", "/nothing", "/sales?since=x"])
def test_every_answer_forbids_what_a_page_does_not_need(dashboard: Served, path: str) -> None:
    headers = dashboard.get(path).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "server" not in headers


def test_scripts_are_sent_once(dashboard: Served) -> None:
    answer = dashboard.get("/assets/vega.js", Accept_Encoding="gzip")
    assert (answer.status, answer.headers["content-encoding"]) == (200, "gzip")
    assert len(answer.body) < len(asset("vega.js").content) / 2
    assert dashboard.get("/assets/vega.js", If_None_Match=answer.headers["etag"]).status == 304


def test_hostile_names_of_the_source_are_text(world: World) -> None:
    world.change(f"update design set design_name = '{HOSTILE}'")
    world.refresh()
    with served(world.platform.warehouse) as dashboard:
        page, table = dashboard.get("/sales").text, dashboard.get("/sales/designs.csv").text
    assert HOSTILE not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert HOSTILE in table


def test_without_rates_only_pounds_are_in_the_amounts_and_that_is_said(world: World) -> None:
    with served(world.platform.warehouse) as dashboard:
        page, euros = dashboard.get("/sales").text, dashboard.get("/sales?currency=EUR").text
    unconverted = world.ask_one(
        "select count(*) from current_sales_order join dim_currency using (currency_id) where currency_code <> 'GBP'"
    )
    assert f"{unconverted} of these have no exchange rate that is at most 7 days old." in page
    assert "have no exchange rate" not in euros


def test_rows_in_quarantine_are_said_on_every_page_and_listed(world: World) -> None:
    world.change("update sales_order set agreed_delivery_date = 'soon' where sales_order_id = 1")
    world.refresh()
    with served(world.platform.warehouse) as dashboard:
        assert "1 row of the source is in quarantine" in dashboard.get("/sales").text
        listed = list(csv.DictReader(io.StringIO(dashboard.get("/health/quarantine.csv").text)))
    assert [(row["comes_from"], row["key"]) for row in listed] == [("sales_order", "1")]


def test_a_warehouse_without_batches_is_said_to_be_empty(companies: Companies) -> None:
    platform = companies.unseen(Company(orders=0))
    pipeline.migrate(platform.warehouse)
    with served(platform.warehouse) as dashboard:
        for page in PAGES:
            answer = dashboard.get(f"/{page}")
            assert answer.status == 200
            assert "The warehouse is empty: no batch has been loaded yet." in answer.text


def test_a_warehouse_that_was_never_migrated_is_said_and_tried_again(companies: Companies) -> None:
    with served(companies.unseen(Company(orders=0)).warehouse) as dashboard:
        answer = dashboard.get("/sales")
    assert answer.status == 503
    assert "The warehouse cannot be read" in answer.text
    assert '<meta http-equiv="refresh" content="5">' in answer.text


def test_a_warehouse_that_cannot_be_reached_is_said_without_its_password() -> None:
    database = Database("warehouse", "postgresql://anna:s3cret@127.0.0.1:1/warehouse")
    with served(Warehouse(database)) as dashboard:
        answer = dashboard.get("/sales")
    assert answer.status == 503
    assert "s3cret" not in answer.text


def test_a_page_stays_while_the_warehouse_is_gone(world: World) -> None:
    with served(world.platform.warehouse) as dashboard:
        before = dashboard.get("/sales").text
        with psycopg.connect(world.source_url, autocommit=True) as connection:
            name = str(conninfo_to_dict(world.warehouse_url)["dbname"])
            connection.execute(sql.SQL("alter database {} with allow_connections false").format(sql.Identifier(name)))
            connection.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [name])
        while "could not be read" not in (after := dashboard.get("/sales").text):
            assert version(after) == version(before)
    assert version(after) == version(before)
