"""What a person sees and does in the dashboard: on a screen and on a phone, by keyboard, and from a folder."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from totes_dagster.dashboard.site import PAGES
from totes_dagster.metrics.registry import METRICS
from totes_dagster_tests.integration.commands import totes_here
from totes_dagster_tests.system.ui.development import Development
from totes_dagster_tests.system.ui.test_ui import NEW_ORDER

pytestmark = pytest.mark.ui

PATIENCE = 120_000  # milliseconds
SCREENS: dict[str, dict[str, Any]] = {
    "screen in the light": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"},
    "phone in the dark": {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark", "has_touch": True},
}
SCREEN = SCREENS["screen in the light"]

NEW_COUNTRY = (
    "create temporary table new_address on commit drop as select * from address order by address_id desc limit 1",
    "update new_address set address_id = address_id + 1, country = 'Iceland'",
    "insert into address select * from new_address",
)

Open = Callable[..., Page]


@pytest.fixture
def window(browser: Browser, dev: Development) -> Iterator[Open]:
    """Opens an address of the dashboard in a window. Nothing may go wrong in it, or be asked from elsewhere."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []
    home = dev.dashboard()

    def opened(address: str, **options: Any) -> Page:
        context = browser.new_context(base_url=home, locale="en-GB", timezone_id="Asia/Tokyo", **options)
        contexts.append(context)
        context.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(f"thrown: {error}"))
        page.on(
            "console",
            lambda said: complaints.append(f"logged: {said.text}") if said.type in {"error", "warning"} else None,
        )
        page.on("request", lambda asked: complaints.append(asked.url) if is_foreign(asked.url, home) else None)
        page.goto(address)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


def is_foreign(url: str, home: str) -> bool:
    return not url.startswith((f"{home}/", "file:///", "data:"))


def all_is_drawn(page: Page) -> None:
    """Wait until every chart is drawn. Each page has charts, if the warehouse has rows."""
    expect(page.locator("body[data-drawn]")).to_be_attached()
    charts = page.locator(".chart")
    assert charts.count() > 0
    expect(page.locator(".chart svg")).to_have_count(charts.count())
    for chart in charts.all():
        expect(chart.locator("svg [role='graphics-symbol']").first).to_be_attached()


def figure(page: Page, label: str) -> Any:
    return page.locator(".figures > div").filter(has=page.get_by_text(label, exact=True)).locator("dd")


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_drawn_and_fits(window: Open, name: str, screen: str) -> None:
    page = window(f"/{name}", **SCREENS[screen])
    all_is_drawn(page)
    expect(page.get_by_role("heading", level=1)).to_have_text(PAGES[name].title)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for svg in page.locator(".chart svg").all():
        box = svg.bounding_box()
        assert box is not None
        assert box["x"] + box["width"] <= page.viewport_size["width"]  # type: ignore[index]


def test_a_filter_changes_the_address_and_the_numbers(window: Open, dev: Development) -> None:
    page = window("/sales", **SCREEN)
    everything = dev.ask("select count(*) from current_sales_order")[0][0]
    expect(figure(page, "Orders")).to_have_text(str(everything))
    page.get_by_role("combobox", name="Currency").select_option("EUR")
    page.get_by_role("button", name="Apply").click()
    page.wait_for_url("**/sales?currency=EUR")
    euros = dev.ask("select count(*) from current_sales_order natural join dim_currency where currency_code = 'EUR'")
    expect(figure(page, "Orders")).to_have_text(str(euros[0][0]))
    expect(figure(page, "Net sales")).to_have_text(re.compile("€"))
    all_is_drawn(page)
    page.get_by_role("link", name="Purchases").click()
    page.wait_for_url("**/purchases?currency=EUR")
    page.get_by_role("link", name="Remove all filters").click()
    page.wait_for_url("**/purchases")


def test_a_change_of_the_source_moves_a_number_and_leaves_the_reader_where_he_is(
    window: Open, dev: Development
) -> None:
    page = window("/sales", **SCREEN)
    all_is_drawn(page)
    orders = dev.ask("select count(*) from current_sales_order")[0][0]
    expect(figure(page, "Orders")).to_have_text(str(orders))
    countries = page.locator("select[name=country]")
    (chosen,) = countries.select_option(index=1)
    question = page.locator("#by-month")
    summary = question.get_by_text(re.compile("^Table"))
    summary.click()
    expect(question.get_by_role("table")).to_be_visible()
    dev.change(*NEW_ORDER, *NEW_COUNTRY)
    expect(figure(page, "Orders")).to_have_text(str(orders + 1))
    expect(question.get_by_role("table")).to_be_visible()
    expect(summary).to_be_focused()
    expect(countries.get_by_role("option", name="Iceland")).to_be_attached()
    expect(countries).to_have_value(chosen)
    version = page.locator("main").get_attribute("data-version")
    expect(page.locator(f"body[data-drawn='{version}']")).to_be_attached()
    all_is_drawn(page)


def test_a_page_can_be_used_by_keyboard(window: Open) -> None:
    page = window("/sales", **SCREEN)
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()
    summary = page.locator("#by-month").get_by_text("SQL", exact=True)
    summary.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#by-month pre")).to_contain_text("from sale as s")


@pytest.mark.parametrize("screen", SCREENS)
def test_what_figures_mean_can_be_opened_by_key_and_by_touch(window: Open, screen: str) -> None:
    page = window("/payments", **SCREENS[screen])
    all_is_drawn(page)
    for place, name in ((".meanings", "open_receivables"), ("#late-payers", "share_paid_late")):
        summary = page.locator(f"{place} summary").get_by_text(re.compile("mean", re.IGNORECASE))
        meaning = page.locator(place).get_by_text(METRICS[name].meaning)
        expect(meaning).to_be_hidden()
        if SCREENS[screen].get("has_touch"):
            summary.tap()
        else:
            summary.focus()
            page.keyboard.press("Enter")
        expect(meaning).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_tables_are_there_without_scripts(window: Open) -> None:
    page = window("/sales", java_script_enabled=False, **SCREEN)
    page.locator("#by-month").get_by_text(re.compile("^Table")).click()
    expect(page.locator("#by-month").get_by_role("table")).to_be_visible()


def test_a_download_is_a_file(window: Open) -> None:
    page = window("/sales", **SCREEN)
    with page.expect_download() as started:
        page.locator("#by-month").get_by_role("link", name=re.compile("Download CSV")).click()
    assert started.value.suggested_filename == "totes-sales-by-month.csv"
    assert Path(started.value.path()).read_text().startswith("month,currency,orders,")


def test_nonsense_in_the_address_is_said(browser: Browser, dev: Development) -> None:
    page = browser.new_page()
    answer = page.goto(f"{dev.dashboard()}/sales?currency=<script>")
    assert answer is not None
    assert answer.status == 400
    expect(page.get_by_role("main")).to_contain_text("'<script>', which is not a currency's code.")
    page.close()


@pytest.mark.parametrize("screen", SCREENS)
def test_an_export_opens_from_a_folder(window: Open, dev: Development, tmp_path: Path, screen: str) -> None:
    totes_here("dashboard", "--export", str(tmp_path), WAREHOUSE_READER_URL=dev.url_of("warehouse"))
    page = window((tmp_path / "sales.html").as_uri(), **SCREENS[screen])
    all_is_drawn(page)
    for name, shown in list(PAGES.items())[1:]:
        page.get_by_role("link", name=shown.title, exact=True).click()
        page.wait_for_url(f"**/{name}.html")
        all_is_drawn(page)
