"""Pages as HTML: no text becomes markup, numbers are readable, and what a reader has to know is said in words."""

import csv
import io
import json
import re
from datetime import timedelta
from decimal import Decimal
from html import unescape
from html.parser import HTMLParser
from typing import Any

import pytest

from totes_dagster.dashboard.exporting import Exported
from totes_dagster.dashboard.filters import Filters
from totes_dagster.dashboard.formats import duration, short_money, written
from totes_dagster.dashboard.markup import element
from totes_dagster.dashboard.pages import health, sales
from totes_dagster.dashboard.question import Kind, Page, shown_metric
from totes_dagster.dashboard.reading import SetAside, State, Table
from totes_dagster.dashboard.rendering import as_csv, embedded_json, rendered
from totes_dagster.dashboard.server import Served
from totes_dagster.dashboard.shell import document, version_of
from totes_dagster.dashboard.site import PAGES
from totes_dagster.errors import DatabaseUnavailableError
from totes_dagster.metrics.metric import Unit
from totes_dagster.metrics.question import question as question_of
from totes_dagster.metrics.registry import METRICS
from totes_dagster_tests.unit.dashboard.made_up import EVERYTHING, HOSTILE, NOW, STATE, page_data, row_of, rows

PAGE = pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)


class Outline(HTMLParser):
    """The elements of a document, and what is wrong with it."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.texts: list[str] = []
        self.feed(document)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in {"meta", "link", "input", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def text(self) -> str:
        return " ".join("".join(self.texts).split())


def shown(page: Page, filters: Filters = EVERYTHING, **changes: Any) -> str:
    problem = changes.pop("problem", None)
    now = changes.pop("now", NOW)
    data = page_data(page, filters, **changes)
    return document(rendered(data, Served(filters)), Served(filters), now, is_live=True, problem=problem)


@PAGE
def test_hostile_names_are_text(page: Page) -> None:
    outline = Outline(shown(page, text=HOSTILE))
    scripts = outline.all("script")
    assert {script.get("src") for script in scripts if script.get("type") != "application/json"} == {
        "/assets/vega.js",
        "/assets/dashboard.js",
    }
    assert not outline.all("img")
    assert (outline.wrong, outline.open) == ([], [])
    assert "alert('x')" in outline.text()


@PAGE
def test_a_page_has_nothing_inline_and_nothing_from_elsewhere(page: Page) -> None:
    outline = Outline(shown(page))
    for tag, attributes in outline.elements:
        assert not [name for name in attributes if name.startswith("on") or name == "style"], tag
        for name in ("href", "src", "action"):
            assert re.match(r"/(?!/)|#|data:,$|$", attributes.get(name) or ""), attributes
    assert not outline.all("style")


@PAGE
def test_every_question_has_its_title_its_table_its_sql_and_its_download(page: Page) -> None:
    text = shown(page)
    outline = Outline(text)
    ids = [attributes["id"] for _, attributes in outline.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for question in page.questions:
        assert question.title.endswith("?")
        (section,) = re.findall(rf'<section[^>]* id="{question.name}".*?</section>', text, re.DOTALL)
        assert f'<h2 id="{question.name}-title">' in section
        assert section.count("<table>") == section.count('scope="col"') / len(question.columns) == 1
        assert "<summary>SQL</summary>" in section
        assert f'href="/{page.name}/{question.name}.csv"' in section
        assert ('class="chart"' in section) == (question.draw is not None)


@PAGE
def test_a_page_can_be_used_by_keyboard_and_read_aloud(page: Page) -> None:
    outline = Outline(shown(page))
    first = outline.all("a")[0]
    assert first == {"href": "#main", "class": "skip"}
    assert [attributes.get("href") for attributes in outline.all("a") if attributes.get("aria-current")] == [
        f"/{page.name}"
    ]
    assert len(outline.all("h1")) == len(outline.all("main")) == 1
    assert len(outline.all("caption")) == len(outline.all("table"))
    assert len(outline.all("label")) == len(page.conditions)


def test_data_for_scripts_cannot_end_its_element() -> None:
    text = embedded_json({"name": HOSTILE + "<!--&amp;"}, "x")
    content = text.removeprefix('<script type="application/json" id="x">').removesuffix("</script>")
    assert not set("<>&\u2028") & set(content)
    assert json.loads(content) == {"name": HOSTILE + "<!--&amp;"}


def test_attributes_and_content_are_escaped() -> None:
    assert (
        element("p", '"<&', title='"<&', hidden=True, id=None)
        == '<p title="&quot;&lt;&amp;" hidden>&quot;&lt;&amp;</p>'
    )


def test_a_csv_is_exact_and_runs_no_formula() -> None:
    question = sales.COUNTRIES
    table = Table(
        [
            {
                "country": "=cmd|' /C calc'!A0",
                "delivered": Decimal("-12345678901234567890.10"),
                "customers": None,
                "units_delivered": 1234,
                "orders_delivered": 0,
            }
        ],
        "",
    )
    (row,) = csv.DictReader(io.StringIO(as_csv(question, table, Filters())))
    assert row == {
        "country": "'=cmd|' /C calc'!A0",
        "delivered_gbp": "-12345678901234567890.10",
        "customers_gbp": "",
        "units_delivered": "1234",
        "orders_delivered": "0",
    }


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (1234567, Kind.NUMBER, "1,234,567"),
        (Decimal("1234.5"), Kind.DECIMAL, "1,234.50"),
        (1234567, Kind.IDENTIFIER, "1234567"),
        (Decimal("12.34"), Kind.PERCENT, "12.3 %"),
        (None, Kind.NUMBER, "—"),
        (90.5, Kind.SECONDS, "90.5 s"),
    ],
)
def test_values_are_written_by_their_kind(value: Any, kind: Kind, text: str) -> None:
    assert written(value, kind) == text


def test_labels_are_short_and_have_their_unit() -> None:
    assert short_money(Decimal("693379621.12"), "GBP") == "£693M"
    assert short_money(-1234, "EUR") == "\N{MINUS SIGN}€1.23k"
    assert short_money(999_999, "SEK") == "SEK 1M"
    assert duration(7200) == "2 hours"


def test_a_page_says_when_the_warehouse_is_empty() -> None:
    text = Outline(shown(sales.PAGE, count=0, state=State())).text()
    assert "The warehouse is empty: no batch has been loaded yet." in text
    assert "Nothing matches" not in text


def test_a_page_says_when_nothing_matches() -> None:
    text = Outline(shown(sales.PAGE, Filters(country="Atlantis"), count=0)).text()
    assert "Nothing matches these filters. Remove one, or choose a longer period." in text
    assert "'Atlantis' is not a country in the warehouse." in text


@pytest.mark.parametrize(("minutes", "is_stale"), [(25, False), (26, True)])
def test_a_page_says_when_the_newest_batch_is_old(minutes: int, *, is_stale: bool) -> None:
    text = Outline(shown(sales.PAGE, now=NOW + timedelta(minutes=minutes))).text()
    assert ("The newest batch is 31 minutes old." in text) == is_stale


@pytest.mark.parametrize(
    ("set_aside", "said"),
    [
        (
            SetAside(1),
            "1 row of the source is in quarantine, and missing here or shown in an older version. See Health.",
        ),
        (SetAside(rows_of_feeds=1), "1 row of a feed is in quarantine: rates, deliveries or targets may be missing"),
        (SetAside(files=1), "1 file of a feed was refused: rates, deliveries or targets may be missing, or older."),
        (
            SetAside(2000, 3, 4),
            "2,000 rows of the source are in quarantine, and missing here or shown in an older version. 3 rows of "
            "feeds are in quarantine and 4 files of feeds were refused: rates, deliveries or targets may be missing",
        ),
    ],
)
@PAGE
def test_a_page_says_what_was_set_aside_and_where_to_look(page: Page, set_aside: SetAside, said: str) -> None:
    outline = Outline(shown(page, Filters(currency="EUR"), set_aside=set_aside))
    is_health = page is health.PAGE
    assert said.replace("See Health", "See below" if is_health else "See Health") in outline.text()
    assert {"href": "#quarantine" if is_health else "/health?currency=EUR"} in outline.all("a")


def test_a_page_says_nothing_of_an_empty_quarantine() -> None:
    text = Outline(shown(sales.PAGE)).text()
    assert "quarantine" not in text
    assert "refused" not in text


def commands(meanings: str) -> set[str]:
    """The metrics that commands ask for. A command that would be refused raises an error."""
    asked = set()
    for command in re.findall(r"<code>totes metric (.*?)</code>", meanings):
        name, *options = command.split()
        given = dict(zip(options[::2], options[1::2], strict=True))
        where = dict([given["--where"].split("=")]) if "--where" in given else {}
        question_of(name, by=[given["--by"]] if "--by" in given else [], where=where)
        asked.add(name)
    return asked


@PAGE
@pytest.mark.parametrize("filters", [Filters(), Filters(currency="EUR")], ids=["in pounds", "in euros"])
def test_what_a_metric_means_is_said_in_text_that_a_key_or_a_finger_opens(page: Page, filters: Filters) -> None:
    text = shown(page, filters)
    assert not [attributes for _, attributes in Outline(text).elements if "title" in attributes]
    for question in (page.headline, *page.questions):
        opening = 'class="meanings"' if question is page.headline else f'<section[^>]* id="{question.name}"'
        (part,) = re.findall(rf"{opening}.*?(?:</section>|$)", text, re.DOTALL) or [""]
        details = re.findall(r"<details><summary>(?:What these figures mean|Meanings)</summary>(.*?)</details>", part)
        meanings = unescape(details[0]) if details else ""
        for column in question.columns:
            if column.metric:
                metric = shown_metric(column.metric, question.unit(filters))
                assert metric.meaning in meanings
                assert metric.name in commands(meanings)
            assert column.about in meanings


@PAGE
def test_an_answer_takes_the_sql_of_a_metric_from_its_declaration(page: Page) -> None:
    for question in (page.headline, *page.questions):
        for column in question.columns:
            if column.metric is None:
                continue
            assert f"{{{column.metric}}}" in question.statement.as_string() or column.name in {"kept", "missed"}
            is_money = METRICS[column.metric].unit in {Unit.GBP, Unit.GBP_A_BAG}
            assert not is_money or question.always_gbp or f"{column.metric}_in_own_currency" in METRICS


def test_an_answer_says_which_filters_it_does_not_have() -> None:
    filters = Filters.from_query("since=2026-01-01&department=Sales&country=France&currency=EUR")
    text = Outline(shown(sales.PAGE, filters)).text()
    assert text.count("This answer is not filtered by currency and country.") == 1
    assert "This answer" not in Outline(shown(sales.PAGE, Filters.from_query("since=2026-01-01"))).text()


def test_an_answer_says_how_many_rows_are_in_none_of_its_amounts() -> None:
    data = page_data(sales.PAGE)
    table = Table([{**row, "unconverted": 1000 * number} for number, row in enumerate(rows(sales.CONSTANT_RATES))], "")
    sentence = "Orders that lack a rate of their day or of the newest batch's day, and are in neither line: "
    text = Outline(shown(sales.PAGE, tables={**data.tables, "constant-rates": table})).text()
    assert f"{sentence}10,000." in text
    complete = Table([{**row, "unconverted": 0} for row in table.rows], "")
    assert sentence not in Outline(shown(sales.PAGE, tables={**data.tables, "constant-rates": complete})).text()


def test_a_page_says_what_is_not_converted() -> None:
    data = page_data(sales.PAGE)
    headline = Table([row_of(sales.HEADLINE, unconverted=1234)], "")
    text = Outline(shown(sales.PAGE, tables={**data.tables, "headline": headline})).text()
    assert "1,234 of these have no exchange rate that is at most 7 days old." in text


def test_a_page_says_which_filters_it_does_not_have() -> None:
    text = Outline(shown(PAGES["payments"], Filters(department="Sales"))).text()
    assert "This page is not filtered by department." in text
    everything = Filters.from_query("since=2026-01-01&until=2026-02-01&currency=EUR")
    assert "This page is not filtered by period and currency." in Outline(shown(health.PAGE, everything)).text()


def test_a_page_says_why_it_is_older_than_the_warehouse() -> None:
    text = Outline(shown(sales.PAGE, problem=DatabaseUnavailableError("The server is gone."))).text()
    assert "The page shows an earlier state, because the newest could not be read: The server is gone." in text


def test_links_keep_the_filters() -> None:
    outline = Outline(shown(sales.PAGE, Filters(currency="EUR")))
    assert {"href": "/purchases?currency=EUR"} in outline.all("a")
    assert {"value": "EUR", "selected": None} in outline.all("option")
    assert {"href": "/sales"} in outline.all("a")


def test_an_exported_page_refers_to_its_folder_and_follows_nothing() -> None:
    data = page_data(sales.PAGE)
    outline = Outline(document(rendered(data, Exported()), Exported(), NOW + timedelta(days=9), is_live=False))
    assert not outline.all("form")
    assert "days old" not in outline.text()
    assert "data-version" not in outline.all("main")[0]
    links = [attributes["href"] for attributes in outline.all("a")]
    assert "health.html" in links
    assert "data/sales/by-month.csv" in links


def test_the_version_of_a_page_tells_states_apart() -> None:
    states = [STATE, State(8, STATE.snapshot_at, STATE.loaded_at), State(7, STATE.snapshot_at, NOW), State()]
    states.append(State(7, STATE.snapshot_at, STATE.loaded_at, (("rates", 1, "2026-11-30"),)))
    assert len({version_of(state) for state in states}) == len(states)
