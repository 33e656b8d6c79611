"""`totes dashboard`: what it serves, what it exports and what it refuses."""

import http.client
import re
import signal
import socket
from pathlib import Path

import pytest

from totes_dagster.cli import dashboard as command
from totes_dagster.dashboard import scripts
from totes_dagster.dashboard.serving import HOST
from totes_dagster.dashboard.site import PAGES
from totes_dagster_tests.dashboards import PATIENCE
from totes_dagster_tests.integration.commands import refusal_here, run_here, start, totes_here
from totes_dagster_tests.integration.metrics.lived import Lived
from totes_dagster_tests.ports import free_port


@pytest.mark.slow
def test_an_export_is_all_pages_with_their_data_and_scripts(lived: Lived, tmp_path: Path) -> None:
    folder = tmp_path / "with a space" / "export"
    printed = totes_here("dashboard", "--export", str(folder), WAREHOUSE_READER_URL=lived.world.warehouse_url)
    assert printed == f"Exported the dashboard. Open {(folder / 'sales.html').as_uri()}\n"
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    data = {f"data/{page.name}/{question.name}.csv" for page in PAGES.values() for question in page.questions}
    assert found == data | {f"{page}.html" for page in PAGES} | {
        f"assets/{name}" for name in ("vega.js", "dashboard.js", "dashboard.css")
    }
    for page in PAGES:
        text = (folder / f"{page}.html").read_text()
        addresses = re.findall(r'(?:href|src)="([^"#]+)"', text)
        assert {address for address in addresses if address != "data:,"} <= found


@pytest.mark.slow
def test_all_pages_of_an_export_are_of_one_batch(lived: Lived, tmp_path: Path) -> None:
    totes_here("dashboard", "--export", str(tmp_path), WAREHOUSE_READER_URL=lived.world.warehouse_url)
    said = {re.search(r"batch [\d,]+", (tmp_path / f"{page}.html").read_text()) for page in PAGES}
    assert {found[0] for found in said if found} == {f"batch {lived.world.ask_one('select batch from as_of')}"}


def test_an_export_can_be_filtered(lived: Lived, tmp_path: Path) -> None:
    url = lived.world.warehouse_url
    totes_here("dashboard", "--export", str(tmp_path), "--filters", "currency=EUR", WAREHOUSE_READER_URL=url)
    assert "<dt" in (tmp_path / "sales.html").read_text()
    assert "net_sales_eur" in (tmp_path / "data" / "sales" / "by-month.csv").read_text()
    assert "Only: currency EUR." in (tmp_path / "sales.html").read_text()


def test_a_folder_that_cannot_be_written_is_said(lived: Lived, tmp_path: Path) -> None:
    (tmp_path / "assets").write_text("in the way")
    url = lived.world.warehouse_url
    said = refusal_here("dashboard", "--export", str(tmp_path), WAREHOUSE_READER_URL=url)
    assert said.startswith(f"DashboardError: The export cannot be written to {tmp_path}: ")


def test_filters_that_make_no_sense_are_a_wrong_usage(tmp_path: Path) -> None:
    result = run_here("dashboard", "--export", str(tmp_path), "--filters", "currency=euro")
    assert (result.exit_code, "is not a currency's code" in result.stderr) == (2, True)
    assert run_here("dashboard", "--filters", "currency=EUR").exit_code == 2


def test_it_serves_until_it_is_interrupted_also_while_somebody_looks(lived: Lived) -> None:
    port = free_port()
    with start("dashboard", "--port", str(port), WAREHOUSE_READER_URL=lived.world.warehouse_url) as process:
        assert process.stdout is not None
        assert process.stdout.readline().split() == ["Dashboard", f"http://{HOST}:{port}"]
        assert process.stdout.readline() == "Press Ctrl-C to stop.\n"
        viewer = http.client.HTTPConnection(HOST, port, timeout=PATIENCE)
        viewer.request("GET", "/events?page=sales&version=0")
        assert viewer.getresponse().readline().startswith(b"retry:")
        process.send_signal(signal.SIGINT)
        printed, errors = process.communicate(timeout=PATIENCE)
        viewer.close()
    assert (process.returncode, printed, errors) == (0, "Stopped.\n", "")


def test_a_port_that_is_in_use_is_said(lived: Lived) -> None:
    with socket.create_server((HOST, 0)) as listener:
        port = str(listener.getsockname()[1])
        said = refusal_here("dashboard", "--port", port, WAREHOUSE_READER_URL=lived.world.warehouse_url)
    assert said == f"DashboardError: Port {port} is in use. Choose another with --port."


def test_an_address_that_this_machine_does_not_have_is_said(lived: Lived) -> None:
    said = refusal_here("dashboard", "--host", "192.0.2.1", WAREHOUSE_READER_URL=lived.world.warehouse_url)
    assert said.startswith("DashboardError: The dashboard cannot listen at 192.0.2.1:3001: ")


@pytest.mark.parametrize("path", ["dashboard", "/dashboard/", "/", "//dashboard", "/dash board", "/{page}"])
def test_a_path_that_is_none_is_a_wrong_usage(path: str) -> None:
    result = run_here("dashboard", "--path", path)
    assert (result.exit_code, "is not a path like /dashboard." in result.stderr) == (2, True)


@pytest.mark.slow
def test_it_serves_under_a_path_for_the_hosts_that_are_allowed(lived: Lived) -> None:
    port = free_port()
    options = ("--host", "0.0.0.0", "--port", str(port), "--path", "/dashboard", "--allow-host", "dagster.example.com")
    with start("dashboard", *options, WAREHOUSE_READER_URL=lived.world.warehouse_url) as process:
        assert process.stdout is not None
        assert process.stdout.readline().split() == ["Dashboard", f"http://0.0.0.0:{port}/dashboard"]
        connection = http.client.HTTPConnection(HOST, port, timeout=PATIENCE)
        for host, status in (("dagster.example.com", 200), ("evil.example", 421)):
            connection.request("GET", "/dashboard/assets/dashboard.css", headers={"Host": host})
            answer = connection.getresponse()
            answer.read()
            assert answer.status == status
        connection.close()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)


def test_what_makes_the_script_of_charts_need_not_be_there_where_the_script_is(
    lived: Lived, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: None if name == "vl_convert" else object())
    url = lived.world.warehouse_url
    with socket.create_server((HOST, 0)) as listener:  # with a port in use, it gets as far as listening
        port = str(listener.getsockname()[1])
        assert "(vl_convert)" in refusal_here("dashboard", "--port", port, WAREHOUSE_READER_URL=url)
        monkeypatch.setattr(scripts, "is_installed", lambda name: name == "vega.js")
        assert "is in use" in refusal_here("dashboard", "--port", port, WAREHOUSE_READER_URL=url)


def test_packages_that_are_missing_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: None if name == "altair" else object())
    said = refusal_here("dashboard")
    assert said.startswith("DashboardError: The dashboard needs packages that are not installed (altair). ")
