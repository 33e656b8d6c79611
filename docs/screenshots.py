"""Takes the pictures of Dagster's UI and of the dashboard: `make screenshots` writes them to `docs/images/`.

They show a company that has traded for a while and has stopped, so that nothing changes between pictures.
"""

import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, expect

from totes_dagster.simulator.simulator import Simulator
from totes_dagster_tests.system.ui.chromium import HOW_TO_INSTALL, chromium, find_chromium
from totes_dagster_tests.system.ui.dagster_ui import DagsterUI
from totes_dagster_tests.system.ui.development import Development, development

IMAGES = Path(__file__).parent / "images"
MOST_BYTES = 150_000
WIDTH = 1280

ORDERS = 3_000
CHANGES_PER_SECOND = 1.0
BATCHES = 12
"""Batches to load before the pictures: enough for plots to have a shape."""
PATIENCE = 600
"""Seconds to wait for these batches."""

DASHBOARD = ("sales", "purchases", "payments", "history", "health")
DASHBOARD_HEIGHT = 1000

FACT = "warehouse/fact_sales_order"
DIMENSION = "warehouse/dim_staff"
CHECK = "healthy"
SENSOR = "totesys_changes"


def main() -> None:
    """Take all pictures anew."""
    browser_path, pngquant = find_chromium(), shutil.which("pngquant")
    if browser_path is None:
        sys.exit(HOW_TO_INSTALL)
    if pngquant is None:
        sys.exit("pngquant, which makes the pictures small, is not installed. Run `apt-get install pngquant`.")
    IMAGES.mkdir(exist_ok=True)
    with chromium(browser_path) as browser, development(orders=ORDERS, rate=0) as dev:
        let_company_trade(dev, browser)
        for look, (width, height, scale) in PICTURES.items():
            picture = IMAGES / f"{look.__name__}.png"
            ui = DagsterUI(browser, dev.url, width=width, height=height, scale=scale)
            look(ui)
            ui.settle()
            ui.page.screenshot(path=picture, clip=ui.graph() if look is lineage else None)
            ui.close()
            shrink(picture, pngquant)
        take_dashboard(dev, browser, pngquant)


def take_dashboard(dev: Development, browser: Browser, pngquant: str) -> None:
    """Take the first screen of each page of the dashboard."""
    address = re.search(r"Dashboard +(http\S+)", dev.said())
    if not address:
        sys.exit(f"The dashboard did not start.\n{dev.said()}")
    for name in DASHBOARD:
        picture = IMAGES / f"dashboard_{name}.png"
        context = browser.new_context(viewport={"width": WIDTH, "height": DASHBOARD_HEIGHT}, device_scale_factor=1)
        page = context.new_page()
        page.goto(f"{address[1]}/{name}")
        expect(page.locator(".vega-embed svg, .vega-embed canvas").last).to_be_attached(timeout=60_000)
        page.screenshot(path=picture)
        context.close()
        shrink(picture, pngquant)


def let_company_trade(dev: Development, browser: Browser) -> None:
    """Let the company trade until enough batches are loaded, then compare the warehouse with the source by a click."""
    stop = threading.Event()
    with Simulator(dev.url_of("totesys"), seed=1) as simulator:
        trading = threading.Thread(target=simulator.run, args=(CHANGES_PER_SECOND, stop))
        trading.start()
        try:
            end = time.monotonic() + PATIENCE
            while loaded(dev) < BATCHES:
                if time.monotonic() > end:
                    sys.exit(f"The warehouse did not have {BATCHES} batches after {PATIENCE} s.\n{dev.said()}")
                time.sleep(1)
        finally:
            stop.set()
            trading.join()
    ui = DagsterUI(browser, dev.url)
    ui.open_lineage()
    ui.open_run(ui.materialize_all(), "Success")
    ui.close()


def loaded(dev: Development) -> int:
    """The number of batches that the warehouse has loaded."""
    if dev.ask("select to_regclass('load_history') is null") == [(True,)]:
        return 0
    ((batches,),) = dev.ask("select count(*) from load_history")
    return int(batches)


def lineage(ui: DagsterUI) -> None:
    """All assets, from the source to the views."""
    ui.open_lineage()
    ui.hide_navigation()
    ui.expand_groups()
    ui.says("fact_payment")


def asset(ui: DagsterUI) -> None:
    """The overview of a table of the warehouse."""
    ui.open_asset(FACT)
    ui.says("Row count")


def metadata(ui: DagsterUI) -> None:
    """What each load did to it, over time."""
    ui.open_asset(FACT)
    ui.show_plots()


def checks(ui: DagsterUI) -> None:
    """Its checks, and the result of one."""
    ui.open_asset(FACT, "checks")
    ui.open_check(CHECK)


def upstream(ui: DagsterUI) -> None:
    """What a dimension is computed from."""
    ui.open(f"/assets/{DIMENSION}?view=lineage&lineageScope=upstream&lineageDepth=4")
    ui.hide_navigation()
    ui.says("Materialized")


def runs(ui: DagsterUI) -> None:
    """What ran, and why."""
    ui.open("/runs")
    ui.hide_navigation()
    ui.says("Success")


def automation(ui: DagsterUI) -> None:
    """The sensors and schedules."""
    ui.open("/automation")
    expect(ui.automation(SENSOR)).to_be_visible()


def sensor(ui: DagsterUI) -> None:
    """The evaluations of the sensor."""
    automation(ui)
    ui.automation(SENSOR).click()
    ui.says("Latest tick")


def run(ui: DagsterUI) -> None:
    """What a refresh did, and how long each step took."""
    sensor(ui)
    ui.open_run(ui.newest_run_requested(), "Success")
    ui.expand_timeline()


PICTURES: dict[Callable[[DagsterUI], None], tuple[int, int, float]] = {
    lineage: (WIDTH, 3000, 0.8),
    asset: (WIDTH, 1000, 1.5),
    metadata: (WIDTH, 1000, 1.5),
    checks: (WIDTH, 840, 1.5),
    upstream: (WIDTH, 600, 1.5),
    runs: (WIDTH, 760, 1.5),
    automation: (WIDTH, 680, 1.5),
    sensor: (WIDTH, 900, 1.5),
    run: (WIDTH, 800, 1.5),
}
"""For each picture, named after its function: the page's width and height, and the picture's pixels per page pixel."""


def shrink(picture: Path, pngquant: str) -> None:
    """Reduce a picture to a palette, and print its size.

    Raises:
        SystemExit: the picture is too large for a page.
    """
    how = ["--force", "--strip", "--speed", "1", "--nofs"]
    subprocess.run([pngquant, *how, "--output", picture, "64", picture], check=True)  # noqa: S603 - our own picture
    size = picture.stat().st_size
    print(f"{picture}: {size:,} bytes")  # noqa: T201
    if size > MOST_BYTES:
        sys.exit(f"{picture} is larger than {MOST_BYTES:,} bytes. Show less, or at a smaller scale.")


if __name__ == "__main__":
    main()
