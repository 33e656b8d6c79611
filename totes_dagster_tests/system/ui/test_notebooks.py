"""The notebooks in a browser: they open, show every answer, and report no error."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from totes_dagster_tests.companies import Companies, Company
from totes_dagster_tests.integration.commands import start_python, wait_for_line
from totes_dagster_tests.ports import free_port

pytestmark = [pytest.mark.ui, pytest.mark.slow]

NOTEBOOKS = Path(__file__).parents[3] / "notebooks"
LAST = {"company": "What did changes of exchange rates gain or lose?", "history": "Exercise"}
SHOWN = {"company": ".vega-embed canvas, .vega-embed svg", "history": "table"}


@pytest.mark.parametrize("name", list(LAST))
def test_a_notebook_opens_without_an_error(name: str, browser: Browser, companies: Companies, tmp_path: Path) -> None:
    warehouse = companies.seen(Company()).warehouse.database.url
    port = free_port()
    serve = ("-m", "marimo", "run", str(NOTEBOOKS / f"{name}.py"), "--headless", "--no-token", "--port", str(port))
    with start_python(*serve, cwd=tmp_path, WAREHOUSE_READER_URL=warehouse, MARIMO_SKIP_UPDATE_CHECK="1") as server:
        try:
            wait_for_line(server, "URL")
            page = browser.new_page()
            complaints: list[str] = []
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.goto(f"http://127.0.0.1:{port}/")
            expect(page.get_by_role("heading", name=LAST[name])).to_be_visible(timeout=60_000)
            expect(page.locator(SHOWN[name]).first).to_be_visible(timeout=60_000)
            assert page.locator(".marimo-error").count() == 0
            assert complaints == []
            page.close()
        finally:
            server.terminate()
