"""`totes dashboard`: what it serves, what it exports and what it refuses."""

import http.client
import re
import signal
import socket
from pathlib import Path

import pytest

from totes_dagster.cli import dashboard as command
from totes_dagster.dashboard.serving import HOST
from totes_dagster.dashboard.site import PAGES
from totes_dagster_tests.dashboards import PATIENCE
from totes_dagster_tests.integration.commands import refusal_here, run_here, start, totes_here
from totes_dagster_tests.integration.metrics.lived import Lived


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
    with socket.create_server((HOST, 0)) as listener:
        port = listener.getsockname()[1]
    with start("dashboard", "--port", str(port), WAREHOUSE_READER_URL=lived.world.warehouse_url) as process:
        assert process.stdout is not None
        assert process.stdout.readline().split() == ["Dashboard", f"http://{HOST}:{port}"]
        viewer = http.client.HTTPConnection(HOST, port, timeout=PATIENCE)
        viewer.request("GET", "/events?page=sales&version=0")
        assert viewer.getresponse().readline().startswith(b"retry:")
        process.send_signal(signal.SIGINT)
        printed, errors = process.communicate(timeout=PATIENCE)
        viewer.close()
    assert (process.returncode, printed, errors) == (0, "Press Ctrl-C to stop.\nStopped.\n", "")


def test_a_port_that_is_in_use_is_said(lived: Lived) -> None:
    with socket.create_server((HOST, 0)) as listener:
        port = str(listener.getsockname()[1])
        said = refusal_here("dashboard", "--port", port, WAREHOUSE_READER_URL=lived.world.warehouse_url)
    assert said == f"DashboardError: Port {port} is in use. Choose another with --port."


def test_packages_that_are_missing_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: None if name == "altair" else object())
    said = refusal_here("dashboard")
    assert said.startswith("DashboardError: The dashboard needs packages that are not installed (altair). ")
