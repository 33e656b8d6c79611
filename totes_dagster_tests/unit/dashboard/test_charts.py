"""Every chart is valid Vega-Lite that a browser can draw without making code of text, whatever the rows say."""

import json
from decimal import Decimal
from typing import Any

import pytest
import vl_convert

from totes_dagster.dashboard.bar_charts import grouped, ranges, ranked
from totes_dagster.dashboard.question import Drawing, Kind, Question
from totes_dagster.dashboard.site import PAGES
from totes_dagster_tests.unit.dashboard.made_up import HOSTILE, rows

DRAWN = [
    pytest.param(question, id=f"{page.name} {question.name}")
    for page in PAGES.values()
    for question in page.questions
    if question.draw
]


def spec_of(question: Question, count: int = 5, text: str = "name") -> dict[str, Any]:
    assert question.draw is not None
    chart = question.draw(rows(question, count, text), "EUR")
    assert chart is not None
    return chart.to_dict()


def everything(spec: Any) -> list[tuple[str, Any]]:
    """All properties in a spec, however deep, except for the rows."""
    if isinstance(spec, dict):
        found = [(key, value) for key, value in spec.items() if key not in {"datasets", "values"}]
        return found + [inner for _, value in found for inner in everything(value)]
    return [inner for value in spec for inner in everything(value)] if isinstance(spec, list) else []


@pytest.mark.parametrize("question", DRAWN)
@pytest.mark.parametrize("count", [1, 2, 12])
def test_a_chart_is_valid_however_many_rows_there_are(question: Question, count: int) -> None:
    compiled = vl_convert.vegalite_to_vega(spec_of(question, count), vl_version="6.4")
    assert compiled["marks"]


@pytest.mark.parametrize("question", DRAWN)
def test_a_chart_loads_nothing_and_has_its_rows_in_it(question: Question) -> None:
    properties = everything(spec_of(question))
    assert not [value for key, value in properties if key in {"url", "href", "image"}]
    assert [value for key, value in properties if key == "data"]


@pytest.mark.parametrize("question", DRAWN)
def test_no_expression_has_text_of_a_row_in_it(question: Question) -> None:
    compiled = vl_convert.vegalite_to_vega(spec_of(question, text=HOSTILE), vl_version="6.4")
    expressions = [
        value for key, value in everything({**compiled, "data": []}) if key in {"signal", "expr", "update", "test"}
    ]
    assert "alert" not in json.dumps(expressions)
    assert not {"warn", "error", "debug"} & {key for key, _ in everything(compiled)}


@pytest.mark.parametrize("question", DRAWN)
def test_hostile_names_are_drawn_as_they_are(question: Question) -> None:
    svg = vl_convert.vegalite_to_svg(spec_of(question, text=HOSTILE), vl_version="6.4")
    assert "<script" not in svg
    assert "<img" not in svg


@pytest.mark.parametrize("question", DRAWN)
def test_without_any_rates_there_is_nothing_to_draw_and_nothing_is_taken_for_zero(question: Question) -> None:
    assert question.draw is not None
    amounts = [column.name for column in question.columns if column.kind is Kind.MONEY]
    chart = question.draw([{**row, **dict.fromkeys(amounts)} for row in rows(question)], "EUR")
    if chart is not None:
        vl_convert.vegalite_to_vega(chart.to_dict(), vl_version="6.4")
        assert not amounts or question.name == "hours"


@pytest.mark.parametrize("question", DRAWN)
def test_amounts_of_0_which_have_no_shares_can_be_drawn(question: Question) -> None:
    nothing = {
        **dict.fromkeys((column.name for column in question.columns if column.kind is Kind.MONEY), Decimal(0)),
        **dict.fromkeys((column.name for column in question.columns if column.name.endswith("share")), None),
    }
    if question.name == "late-payers":
        return  # its share is that of payments, of which there is one at least
    assert question.draw is not None
    assert question.draw([{**row, **nothing} for row in rows(question)], "EUR") is not None


@pytest.mark.parametrize(
    "draw",
    [
        ranked("who", "sold", "Sold", label=lambda row, _: str(row["sold"])),
        grouped("who", {"sold": "sold"}, "Sold"),
        ranges("who", "sold", "sold", "sold", "Sold"),
    ],
    ids=["ranked", "grouped", "ranges"],
)
def test_rows_of_the_same_name_have_bars_of_their_own(draw: Drawing) -> None:
    chart = draw([{"who": "Smith", "sold": 3}, {"who": "Smith", "sold": 2}, {"who": "Jones", "sold": 1}], "GBP")
    assert chart is not None
    (drawn,) = chart.to_dict()["datasets"].values()
    assert [row["name"] for row in drawn] == ["Smith", "Smith (2)", "Jones"]
