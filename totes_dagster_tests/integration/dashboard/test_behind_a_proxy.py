"""The dashboard under a path of another host's address, as behind a load balancer that serves other things as well."""

import re
from collections.abc import Iterator

import pytest

from totes_dagster.config.platform import Warehouse
from totes_dagster.dashboard.site import PAGES
from totes_dagster.postgres.database import Database
from totes_dagster_tests.dashboards import Answer, Served, served

PATH = "/dashboard"
HOST = "dagster.example.com"


@pytest.fixture(scope="module")
def behind(warehouse: Warehouse) -> Iterator[Served]:
    with served(warehouse, path=PATH, hosts=[HOST]) as dashboard:
        yield dashboard


def ask(behind: Served, path: str, **headers: str) -> Answer:
    return behind.get(path, Host=HOST, **headers)


@pytest.mark.parametrize("page", PAGES)
def test_all_addresses_of_a_page_are_under_the_path_and_answered(behind: Served, page: str) -> None:
    text = ask(behind, f"{PATH}/{page}?currency=EUR").text
    addresses = {found.replace("&amp;", "&") for found in re.findall(r'(?:href|src|action)="([^"#]+)"', text)}
    addresses -= {"data:,"}
    assert {address.partition("?")[0] for address in addresses} >= {f"{PATH}/{name}" for name in PAGES}
    for address in addresses:
        assert address.startswith(f"{PATH}/"), address
        assert ask(behind, address).status == 200, address


@pytest.mark.parametrize("path", [PATH, f"{PATH}/"])
def test_the_path_itself_leads_to_the_first_page(behind: Served, path: str) -> None:
    answer = ask(behind, f"{path}?currency=EUR")
    assert (answer.status, answer.headers["location"]) == (307, f"{PATH}/sales?currency=EUR")


def test_no_redirect_names_a_scheme_or_a_host(behind: Served) -> None:
    answer = ask(behind, f"{PATH}/sales?since=&until=&currency=EUR")
    assert (answer.status, answer.headers["location"]) == (303, f"{PATH}/sales?currency=EUR")
    assert ask(behind, f"{PATH}/sales/").status == 404  # and no redirect to http://


def test_events_are_where_the_script_of_a_page_looks_for_them(behind: Served) -> None:
    script = ask(behind, f"{PATH}/assets/dashboard.js").text
    # Relative, so it is beside the page: under the path, and at the root where there is none.
    assert "new EventSource(`events?" in script
    with behind.events("page=health&version=0123", PATH, Host=HOST) as events:
        assert next(events)["version"]


def test_errors_link_to_pages_under_the_path(behind: Served) -> None:
    for path, status in ((f"{PATH}/sales?colour=red", 400), (f"{PATH}/nothing", 404), ("/sales", 404)):
        answer = ask(behind, path)
        assert answer.status == status
        assert f'href="{PATH}/sales"' in answer.text


@pytest.mark.parametrize(
    ("host", "status"), [(HOST, 200), (f"{HOST.upper()}:443", 200), ("localhost", 421), ("10.42.1.5:3001", 421)]
)
def test_pages_are_only_for_the_hosts_that_are_allowed(behind: Served, host: str, status: int) -> None:
    assert behind.get(f"{PATH}/sales", Host=host).status == status


def test_health_is_checked_under_any_host_and_without_the_warehouse() -> None:
    unreachable = Warehouse(Database("warehouse", "postgresql://nobody@127.0.0.1:1/warehouse"))
    with served(unreachable, path=PATH, hosts=[HOST]) as dashboard:
        assert dashboard.get(f"{PATH}/sales", Host=HOST).status == 503
        assert dashboard.get(f"{PATH}/alive", Host="10.42.1.5:3001").status == 200
        assert dashboard.get("/alive", Host="10.42.1.5:3001").status == 421
