"""Filters stand in the address: what makes no sense there is refused, and they come back as they were."""

from datetime import date
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from totes_dagster.dashboard.filters import Filters
from totes_dagster.errors import FilterError

NAMES = st.text(st.characters(categories=["L", "N", "P", "Zs"], exclude_characters="\u00a0"), min_size=1, max_size=50)


@given(
    st.builds(
        Filters,
        since=st.none() | st.dates(date(2000, 1, 1), date(2025, 1, 1)),
        until=st.none() | st.dates(date(2025, 1, 1), date(2050, 1, 1)),
        currency=st.none() | st.from_regex(r"[A-Z]{3}", fullmatch=True),
        country=st.none() | NAMES.filter(str.isprintable),
        department=st.none() | NAMES.filter(str.isprintable),
    )
)
def test_filters_come_back_from_an_address_as_they_were(filters: Filters) -> None:
    assert Filters.from_query(filters.query()) == filters


def test_a_field_that_is_empty_is_no_filter() -> None:
    assert Filters.from_query("since=&currency=&country=") == Filters()
    assert Filters().query() == ""


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("colour=red", "There is no filter 'colour'. The filters are since, until, currency, country, department."),
        ("currency=GBP&currency=EUR", "The filter currency is given more than once."),
        ("since=yesterday", "The filter since is 'yesterday', which is not a day. Give one like 2026-11-30."),
        ("since=2026-02-30", "The filter since is '2026-02-30', which is not a day."),
        ("since=20260201", "is not a day"),
        ("since=2026-02-0\N{FULLWIDTH DIGIT ONE}", "is not a day"),
        ("since=2026-03-01&until=2026-02-01", "The period ends on 2026-02-01, before it begins on 2026-03-01."),
        ("currency=pounds", "The filter currency is 'pounds', which is not a currency's code. Give one like GBP."),
        ("currency=GB%27", "is not a currency's code"),
        ("country=%00", "is not a name"),
        (
            "department=" + "x" * 201,
            "The filter department is 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…', which is not",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(query: str, reason: str) -> None:
    with pytest.raises(FilterError) as refused:
        Filters.from_query(query)
    assert reason in str(refused.value)


def test_amounts_are_in_the_currency_that_is_asked_for_or_in_pounds() -> None:
    assert Filters().unit == "GBP"
    assert Filters(currency="USD").unit == "USD"


def test_a_query_has_what_a_browser_sends() -> None:
    query = Filters(country="Côte d'Ivoire", currency="EUR").query()
    assert parse_qsl(query[1:]) == [("currency", "EUR"), ("country", "Côte d'Ivoire")]
