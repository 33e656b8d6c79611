"""Dagster's UI: where things are on its pages, in one place, for the pages change from version to version.

Things are found as a person finds them: by what they say, and by what they are (a button, a link, a tab).
"""

import re
import time
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Browser, Error, FloatRect, Locator, Page, expect

_PATIENCE = 60.0
"""Seconds to wait for what a page should show at once."""

_PATIENCE_WITH_RUNS = 240.0
"""Seconds to wait for what a run brings, which may have to wait for another, and for the pause after a failure."""

_GRAPH_PART = 0.9
"""How much of the window's height the graph of all assets may take; above it are a heading and a few buttons."""
_MOST_ZOOMS = 10
_ZOOM_MILLISECONDS = 700  # it is animated

_REPORT_TOASTS = """
new MutationObserver(() => {
    for (const toast of document.querySelectorAll("[data-sonner-toast]:not([data-reported])")) {
        toast.dataset.reported = "";
        reportToast(toast.innerText);
    }
}).observe(document, {childList: true, subtree: true});
"""


_COLUMN_LINEAGE = """
query Lineage($key: AssetKeyInput!) {
  assetNodeOrError(assetKey: $key) {
    ... on AssetNode {
      metadataEntries {
        ... on TableColumnLineageMetadataEntry {
          lineage { columnName columnDeps { assetKey { path } columnName } }
        }
      }
    }
  }
}
"""


_RUN = """
query Run($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }
"""

_NEWEST_RUN = """
query NewestRun($job: String!) {
  runsOrError(filter: {pipelineName: $job}, limit: 1) { ... on Runs { results { id status } } }
}
"""

_SENSOR = """
query Sensors {
  sensorsOrError(repositorySelector: {repositoryLocationName: "totes_dagster", repositoryName: "__repository__"}) {
    ... on Sensors { results { name sensorState { ticks(limit: 1) { skipReason } } } }
  }
}
"""

_ENDED = ("SUCCESS", "FAILURE", "CANCELED")

_ASK_EVERY = 200  # milliseconds


class DagsterUI:
    """A browser's window with Dagster in it.

    Attributes:
        page: the window.
        complaints: what went wrong in it: errors that were thrown, logged or announced.
    """

    def __init__(self, browser: Browser, url: str, *, width: int = 1400, height: int = 1000, scale: float = 1) -> None:
        self._height = height
        self._context = browser.new_context(
            base_url=url,
            viewport={"width": width, "height": height},
            device_scale_factor=scale,
            color_scheme="light",
            reduced_motion="reduce",
            locale="en-GB",
            timezone_id="UTC",
        )
        self._context.set_default_timeout(_PATIENCE * 1000)
        expect.set_options(timeout=_PATIENCE * 1000)
        self.page: Page = self._context.new_page()
        self.complaints: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(f"thrown: {error}"))
        self.page.on(
            "console",
            lambda message: self.complaints.append(f"logged: {message.text}") if message.type == "error" else None,
        )
        self.page.expose_function("reportToast", self._notice)
        self.page.add_init_script(_REPORT_TOASTS)

    def _notice(self, text: str) -> None:
        if "Launched" not in text:
            self.complaints.append(f"announced: {text}")

    def close(self) -> None:
        """Close the window."""
        try:
            self._context.close()
        except Error:
            return  # the browser is gone, and the window with it

    def open(self, path: str) -> Page:
        """Go to a page by its path."""
        self.page.goto(path)
        return self.page

    def says(self, text: str | re.Pattern[str], patience: float = _PATIENCE) -> None:
        """Wait until the page says something."""
        expect(self.page.get_by_text(text).filter(visible=True).first).to_be_visible(timeout=patience * 1000)

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Wait for what a run brings, on an empty page: others would ask Dagster for news, and draw it, all along."""
        self.open("about:blank")
        end = time.monotonic() + _PATIENCE_WITH_RUNS
        while not condition():
            assert time.monotonic() < end, "waited in vain"
            self.page.wait_for_timeout(_ASK_EVERY)

    def _ask(self, query: str, **variables: Any) -> Any:
        """What Dagster's API answers."""
        return self.page.request.post("/graphql", data={"query": query, "variables": variables}).json()["data"]

    def settle(self) -> None:
        """Wait until the page is complete: nothing in it is being loaded any more."""
        self.page.wait_for_load_state("networkidle")
        expect(self.page.get_by_text(re.compile("Loading|fetching statuses"))).to_have_count(0)

    def hide_navigation(self) -> None:
        """Leave its room to the page; this window remembers it."""
        self.page.get_by_role("button", name="Hide navigation").click()

    # The lineage of all assets.

    def open_lineage(self) -> None:
        """Go to the graph of all assets."""
        self.open("/asset-groups")
        expect(self._materialize_all()).to_be_enabled()

    def open_job(self, location: str, job: str) -> None:
        """Go to the graph of a job's assets."""
        self.open(f"/locations/{location}/jobs/{job}")
        expect(self._materialize_all()).to_be_enabled()

    def group(self, name: str) -> Locator:
        """A group of assets in the list beside the graph."""
        return self.page.get_by_role("button", name=re.compile(rf"\b{name}$"))

    def expand_groups(self) -> None:
        """Show the assets of all groups, in full, and nothing beside the graph."""
        self.page.get_by_role("button", name="panel_show_right").last.click()
        self.settle()
        collapsed = self.graph()["height"]
        self.page.keyboard.press("Alt+e")
        end = time.monotonic() + _PATIENCE
        while self.graph()["height"] <= 2 * collapsed:  # its layout is computed in the background
            assert time.monotonic() < end, "The groups were not expanded."
            self.page.wait_for_timeout(_ZOOM_MILLISECONDS)
        self.settle()
        for _ in range(_MOST_ZOOMS):
            if self.graph()["height"] <= _GRAPH_PART * self._height:
                break
            self.page.get_by_role("button", name="zoom_out").click()
            self.page.wait_for_timeout(_ZOOM_MILLISECONDS)

    def graph(self) -> FloatRect:
        """Where the graph of all assets is in the window."""
        # Not by a text: assets have none while they are small.
        box = self.page.locator("svg").filter(has=self.page.locator("foreignObject")).first.bounding_box()
        assert box
        return box

    def materialize_all(self) -> str:
        """Materialise every asset by a click; return the path of the run that this launched."""
        self._materialize_all().click()
        return self._launched()

    def materialize_asset(self) -> str:
        """Materialise the asset whose page this is by a click; return the path of the run that this launched."""
        self.page.get_by_role("button", name=re.compile("Materialize")).first.click()
        return self._launched()

    def _launched(self) -> str:
        launched = self.page.locator("[data-sonner-toast]").filter(has_text="Launched run").get_by_role("link").first
        return _reference(launched)

    def _materialize_all(self) -> Locator:
        return self.page.get_by_role("button", name=re.compile("Materialize all"))

    # An asset.

    def open_asset(self, key: str, view: str = "overview") -> None:
        """Go to an asset's page, such as that of `warehouse/dim_staff`; the view is one of its tabs."""
        self.open(f"/assets/{key}?view={view}")
        expect(self.page.get_by_role("tab", name=view.capitalize(), selected=True).first).to_be_visible()

    def column(self, name: str) -> Locator:
        """The row of a column in an asset's table of columns."""
        return self._row("Column name", name)

    def metadata(self, name: str) -> Locator:
        """The row of a piece of an asset's metadata: its name, when it was reported, its value."""
        return self._row("Key", name)

    def row_count(self, rows: int) -> None:
        """Wait until an asset's overview shows so many rows."""
        shown = self.page.get_by_text("Row count", exact=True).locator("xpath=..")
        expect(shown).to_have_text(re.compile(rf"Row count\s*{rows:,}$"), timeout=_PATIENCE_WITH_RUNS * 1000)

    def link(self, name: str) -> Locator:
        """A link by what it says."""
        return self.page.get_by_role("link", name=name).first

    def check(self, name: str, status: str) -> Locator:
        """A check with its status in the list of an asset's checks: the innermost thing that says both."""
        return (
            self.page.locator("div").filter(has=self.page.get_by_title(name, exact=True)).filter(has_text=status).last
        )

    def open_check(self, name: str) -> None:
        """Choose a check in the list of an asset's checks."""
        self.page.get_by_title(name, exact=True).first.click()
        self.page.wait_for_url(f"**checkDetail={name}**")

    def show_plots(self) -> None:
        """Turn an asset's metadata into plots, one for each number, and move there."""
        self.page.get_by_role("button", name="Plots").click()
        expect(self.page.locator("canvas").first).to_be_visible()
        self.page.get_by_role("button", name=re.compile("^view_list Metadata")).evaluate("it => it.scrollIntoView()")

    def column_lineage(self, key: str, column: str) -> list[str]:
        """The columns that a column of an asset is made of.

        Of its API: the open-source UI is given the lineage of columns, and does not show it.
        """
        answer = self._ask(_COLUMN_LINEAGE, key={"path": key.split("/")})
        return [
            "/".join([*source["assetKey"]["path"], source["columnName"]])
            for entry in answer["assetNodeOrError"]["metadataEntries"]
            for found in entry.get("lineage", [])
            if found["columnName"] == column
            for source in found["columnDeps"]
        ]

    def _row(self, heading: str, name: str) -> Locator:
        table = self.page.get_by_role("table").filter(has=self.page.get_by_role("cell", name=heading, exact=True))
        return table.get_by_role("row").filter(has=self.page.get_by_role("cell", name=name, exact=True)).first

    # Runs.

    def newest_run(self, status: str, job: str = "refresh") -> str:
        """Wait for the newest run of a job to have a status, such as Success or Failure; return its path."""
        paths: list[str] = []

        def has_status() -> bool:
            runs = self._ask(_NEWEST_RUN, job=job)["runsOrError"]["results"]
            paths[:] = [f"/runs/{run['id']}" for run in runs if run["status"] == status.upper()]
            return bool(paths)

        self.wait_for(has_status)
        return paths[0]

    def open_run(self, path: str, status: str) -> None:
        """Go to a run when it has ended, which must be with this status.

        Until then, its page would draw its timeline again and again.
        """

        def has_ended() -> bool:
            run = self._ask(_RUN, id=path.rpartition("/")[2])["runOrError"]
            return run.get("status") in _ENDED

        self.wait_for(has_ended)
        self.open(path)
        self.says(re.compile(f"^{status}$"))

    def expand_timeline(self) -> None:
        """Give a run's whole page to its timeline."""
        self.page.get_by_role("button", name="expand_arrows").first.click()

    # Automation.

    def automation(self, name: str) -> Locator:
        """A sensor or schedule in the list of them."""
        return self.page.get_by_role("link", name=name)

    def running(self) -> Locator:
        """The switches of sensors and schedules that are on."""
        return self.page.get_by_role("checkbox", checked=True)

    def newest_run_requested(self) -> str:
        """Path of the newest run that a sensor, whose page this is, requested."""
        return _reference(self.page.locator("a[href^='/runs/']").first)

    def skips(self, sensor: str, reason: str) -> None:
        """Wait until a sensor skips for a reason."""

        def skipped() -> bool:
            found = self._ask(_SENSOR)["sensorsOrError"]["results"]
            (ticks,) = [each["sensorState"]["ticks"] for each in found if each["name"] == sensor]
            return any(reason in (tick["skipReason"] or "") for tick in ticks)

        self.wait_for(skipped)
        self.open("/automation")
        self.automation(sensor).click()
        assert reason in self._newest_skip_reason()

    def _newest_skip_reason(self) -> str:
        # As its status and as its result: one that is being evaluated requested none so far, too.
        ended = self.page.get_by_role("row").filter(has_text=re.compile("(0 runs requested.*){2}", re.DOTALL))
        ended.first.get_by_role("button", name="0 runs requested").click()
        said = self.page.get_by_role("dialog").get_by_text("Skip reason:").locator("xpath=..")
        return said.inner_text()


def _reference(link: Locator) -> str:
    path = link.get_attribute("href")
    assert path
    return path
