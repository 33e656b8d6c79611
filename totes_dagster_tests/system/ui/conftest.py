"""One `totes dev` and one browser for all tests; a window for each, whose picture is kept when the test fails."""

import re
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Error

from totes_dagster_tests.system.ui.chromium import HOW_TO_INSTALL, chromium, find_chromium
from totes_dagster_tests.system.ui.dagster_ui import DagsterUI
from totes_dagster_tests.system.ui.development import Development, development

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = find_chromium()
    if path is None:
        pytest.skip(HOW_TO_INSTALL)
    with chromium(path) as browser:
        yield browser


@pytest.fixture(scope="session")
def dev(browser: Browser) -> Iterator[Development]:
    """A company that changes only when a test changes it, and that the sensor has brought into the warehouse.

    Beside the platform runs a code location of somebody else's: the last example of the documentation.
    """
    *_, own_location = re.findall(
        r"^```python\n(.*?)^```$", (ROOT / "docs" / "your-own-assets.md").read_text(), re.DOTALL | re.MULTILINE
    )
    with development(orders=20, rate=0, modules={"bags": own_location}) as dev:
        ui = DagsterUI(browser, dev.url)
        ui.newest_run("Success")
        ui.close()
        yield dev


@pytest.fixture
def ui(browser: Browser, dev: Development) -> Iterator[DagsterUI]:
    ui = DagsterUI(browser, dev.url)
    yield ui
    ui.close()
    assert ui.complaints == []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failure what the window showed and what Dagster logged."""
    report = yield
    ui, dev = (getattr(item, "funcargs", {}).get(name) for name in ("ui", "dev"))
    if report.failed and report.when == "call":
        if isinstance(ui, DagsterUI):
            assert item.config.cache is not None
            picture = Path(item.config.cache.mkdir("ui")) / f"{item.name}.png"
            try:
                ui.page.screenshot(path=picture)
                report.sections.append(("The window", f"{ui.page.url}\n{picture}\n" + "\n".join(ui.complaints)))
            except Error as error:
                report.sections.append(("The window", f"It cannot be shown: {error}"))
        if isinstance(dev, Development):
            report.sections.append(("totes dev", dev.said()))
    return report
