"""Contracts: which values a row may have, and that the published JSON Schemas say the same."""

import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from totes_dagster.errors import FileRefusedError
from totes_dagster.feeds.contracts import json_schema_of
from totes_dagster.feeds.declared import EXCHANGE_RATE, FEEDS, SALES_TARGET, SHIPMENT, Feed
from totes_dagster.feeds.files import FileRows, read_file

PUBLISHED = Path(__file__).parents[3] / "docs" / "feeds"

RATE = {"date": "2026-11-26", "base": "EUR", "quote": "USD", "rate": "1.125"}
DELIVERY = {"sales_order_id": 7, "delivered_at": "2026-11-26T10:00:00Z", "units": 3}
TARGET = {"month": "2026-11", "department": "Sales", "amount_gbp": "1000.50", "decided_on": "2026-10-01"}
GOOD: dict[str, dict[str, Any]] = {EXCHANGE_RATE.name: RATE, SHIPMENT.name: DELIVERY, SALES_TARGET.name: TARGET}


def read(feed: Feed, *rows: dict[str, Any] | str) -> FileRows:
    lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
    return read_file(feed, "file", ["\n".join(lines).encode()])


def taken(feed: Feed, row: dict[str, Any] | str) -> dict[str, Any]:
    """What is stored of a row that keeps the contract."""
    found = read(feed, row)
    assert found.quarantined.column("reason").to_pylist() == []
    (stored,) = found.rows.to_pylist()
    return {name: stored[name] for name in feed.columns.names}


def reason(feed: Feed, row: dict[str, Any] | str) -> str:
    """Why a row does not keep the contract."""
    try:
        found = read(feed, GOOD[feed.name], row)
    except FileRefusedError as error:
        return str(error)
    assert found.rows.num_rows == 1
    (wrong,) = found.quarantined.to_pylist()
    assert wrong["line"] == 2
    return str(wrong["reason"])


@pytest.mark.parametrize("value", [5, "5", "005"])
def test_a_whole_number_may_be_text(value: Any) -> None:
    assert taken(SHIPMENT, {**DELIVERY, "units": value})["units"] == 5


@pytest.mark.parametrize("value", [True, None, 5.0, 5.5, "5.0", " 5", "5_0", "٣", "", "x", [5], {"a": 5}, "9" * 30])
def test_what_is_no_whole_number_is_not_taken_for_one(value: Any) -> None:
    assert reason(SHIPMENT, {**DELIVERY, "units": value}) == "units: give a whole number"


@pytest.mark.parametrize(("value", "fits"), [(0, False), (-1, False), (1, True), (2**31 - 1, True), (2**31, False)])
def test_a_number_fits_the_column_or_is_set_aside(value: int, fits: bool) -> None:
    for column in ("sales_order_id", "units"):
        row = {**DELIVERY, column: value}
        assert taken(SHIPMENT, row)[column] == value if fits else "input should be" in reason(SHIPMENT, row)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-20T10:00Z", datetime(2026, 11, 20, 10, tzinfo=UTC)),
        ("2026-11-20 10:00:00.123456+02:00", datetime(2026, 11, 20, 8, 0, 0, 123456, tzinfo=UTC)),
        ("2026-11-20T10:00:00-0230", datetime(2026, 11, 20, 12, 30, tzinfo=UTC)),
        ("2026-12-31T23:30:00-01:00", datetime(2027, 1, 1, 0, 30, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", datetime.min.replace(tzinfo=UTC)),
        ("9999-12-31T23:59:59.999999Z", datetime.max.replace(tzinfo=UTC)),
    ],
)
def test_a_moment_is_stored_in_utc(text: str, moment: datetime) -> None:
    assert taken(SHIPMENT, {**DELIVERY, "delivered_at": text})["delivered_at"] == moment.replace(tzinfo=None)


@pytest.mark.parametrize(
    "value",
    [
        "2026-11-20T10:00:00",  # of which time zone?
        "2026-11-20",
        1764583200,
        "1764583200",
        True,
        None,
        "2026-11-20T24:00Z",
        "2026-11-20T23:59:60Z",
        "2026-02-29T10:00Z",
        "2026-11-20T10:00:00.1234567Z",
        "2026-11-20T10:00+24:00",
        "2026-11-20T10:00+02",
        "0000-01-01T00:00Z",
        "0001-01-01T00:00+14:00",
        "9999-12-31T23:59-00:01",
        "10000-01-01T00:00Z",
        "\ud800",
        "2026-11-20T10:00Z\0",
    ],
)
def test_what_is_no_moment_is_set_aside(value: Any) -> None:
    assert reason(SHIPMENT, {**DELIVERY, "delivered_at": value}).startswith("delivered_at: ")


@given(st.datetimes(timezones=st.integers(-1439, 1439).map(lambda at: timezone(timedelta(minutes=at)))))
def test_every_moment_that_can_be_written_is_stored_exactly_or_set_aside(moment: datetime) -> None:
    found = read(SHIPMENT, {**DELIVERY, "delivered_at": moment.isoformat()})
    try:
        expected = [moment.astimezone(UTC).replace(tzinfo=None)]
    except OverflowError:
        expected = []
    assert found.rows.column("delivered_at").to_pylist() == expected
    assert found.rows.num_rows + found.quarantined.num_rows == 1


@given(st.decimals(allow_nan=False, allow_infinity=False) | st.decimals(0, 10**13, places=2), st.booleans())
def test_every_amount_is_stored_exactly_or_set_aside(amount: Decimal, is_text: bool) -> None:
    number = f'"{amount}"' if is_text else str(amount).replace("E", "e")
    line = json.dumps({**TARGET, "amount_gbp": 0}).replace(": 0", f": {number}")
    found = read(SALES_TARGET, json.dumps(TARGET), line)
    fits = 0 <= amount < 10**12 and amount == amount.quantize(Decimal("0.01")) if abs(amount) < 10**20 else False
    stored = found.rows.column("amount_gbp").to_pylist()[1:]
    assert stored in ([], [amount])
    assert len(stored) + found.quarantined.num_rows == 1
    if fits and len(str(amount)) <= 40 and "E" not in str(amount) and str(amount) == str(round(amount, 2)):
        assert stored == [amount]


@pytest.mark.parametrize("value", ["1e99999999999999999999", "1e999999999", "1e-999999999", "true", "null", '"1,000"'])
def test_what_is_no_amount_is_set_aside_in_no_time(value: str) -> None:
    assert reason(SALES_TARGET, json.dumps({**TARGET, "amount_gbp": 0}).replace(": 0", f": {value}"))


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ("2026-11", date(2026, 11, 1)),
        ("2026-11-01", date(2026, 11, 1)),
        ("0001-01", date.min),
        ("9999-12", date(9999, 12, 1)),
    ],
)
def test_a_month_is_its_first_day(value: str, stored: date) -> None:
    assert taken(SALES_TARGET, {**TARGET, "month": value})["month"] == stored


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"month": "2026-11-02"}, "month: give a month"),
        ({"month": "2026-13"}, "month: "),
        ({"month": "0000-01"}, "month: "),
        ({"month": 202611}, "month: give a month"),
        ({"department": "a\0b"}, "department: contains a character that PostgreSQL cannot hold"),
        ({"department": "a\ud800"}, "department: contains a character that PostgreSQL cannot hold"),
        ({"department": " "}, "department: "),
        ({"department": "x" * 201}, "department: "),
        ({"department": 7}, "department: give text"),
        ({"decided_on": "01.10.2026"}, "decided_on: give text like"),
        ({"decided_on": 0}, "decided_on: give text like"),
        ({"decided_by": "Ada"}, "decided_by: extra inputs are not permitted"),
        ({"\ud800\n": "Ada"}, "input should be a valid string"),
        ({"x" * 5_000: "Ada"}, f"{'x' * 60}: extra inputs are not permitted"),
    ],
)
def test_a_target_that_breaks_the_contract_is_set_aside_with_the_column_and_the_reason(
    changed: dict[str, Any], why: str
) -> None:
    assert reason(SALES_TARGET, {**TARGET, **changed}).lower().startswith(why.lower())


@pytest.mark.parametrize("value", [None, ""])
def test_a_target_need_not_say_when_it_was_decided(value: str | None) -> None:
    row = {name: each for name, each in TARGET.items() if name != "decided_on"}
    assert taken(SALES_TARGET, row)["decided_on"] is None
    assert taken(SALES_TARGET, {**row, "decided_on": value})["decided_on"] is None


@pytest.mark.parametrize("value", [None, "", "NaN"])
def test_a_day_without_a_rate_is_left_out(value: str | None) -> None:
    found = read(EXCHANGE_RATE, RATE, {**RATE, "rate": value})
    assert (found.rows.num_rows, found.quarantined.num_rows) == (1, 0)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({**RATE, "rate": 0}, "Line 2: rate: input should be greater than 0."),
        ({**RATE, "rate": "-1"}, "Line 2: rate: input should be greater than 0."),
        ({**RATE, "rate": "Infinity"}, "Line 2: rate: give a number."),
        ({**RATE, "rate": 1e10}, "Line 2: rate: .*10 digits before the decimal point"),
        ({**RATE, "rate": "0.123456789"}, "Line 2: rate: .*8 decimal places"),
        ({**RATE, "base": "USD"}, "Line 2: the base is USD, not EUR."),
        ({**RATE, "quote": "usd"}, "Line 2: quote: give text like USD."),
        ({**RATE, "date": "26.11.2026"}, "Line 2: date: give text like"),
        ("<html>", "Line 2: is not JSON"),
    ],
)
def test_one_rate_that_cannot_be_true_makes_the_whole_file_useless(row: dict[str, Any] | str, why: str) -> None:
    with pytest.raises(FileRefusedError, match=why):
        read(EXCHANGE_RATE, RATE, row)


def test_a_page_of_html_is_no_file_of_rates() -> None:
    with pytest.raises(FileRefusedError, match="It is HTML or XML"):
        read(EXCHANGE_RATE, "<!doctype html>", "<title>503</title>")


@pytest.mark.parametrize("feed", FEEDS.values(), ids=FEEDS)
def test_a_file_of_which_no_row_has_the_feeds_columns_is_refused(feed: Feed) -> None:
    with pytest.raises(FileRefusedError, match=r"columns of|Line 1: "):
        read(feed, {"something": "else"}, {"something": "other"})


def test_a_file_of_which_all_rows_are_bad_but_have_the_columns_is_one_of_the_feed() -> None:
    found = read(SHIPMENT, {**DELIVERY, "units": 0}, {**DELIVERY, "units": "many"}, "}")
    assert (found.rows.num_rows, found.quarantined.column("line").to_pylist()) == (0, [1, 2, 3])


def test_a_file_of_which_too_many_rows_are_bad_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("totes_dagster.feeds.files.MOST_QUARANTINED", 2)
    bad = {**DELIVERY, "units": 0}
    assert read(SHIPMENT, bad, DELIVERY, bad).quarantined.num_rows == 2
    with pytest.raises(FileRefusedError, match=r"More than 2 of its rows break the contract. Line 1: units: "):
        read(SHIPMENT, bad, DELIVERY, bad, bad)


def test_the_rows_of_a_file_keep_their_order_however_many_are_stored_together(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{**DELIVERY, "units": number} for number in (1, 0, 2, 3, 0, 0, 4, 0, 5)]
    whole = read(SHIPMENT, *rows)
    monkeypatch.setattr("totes_dagster.feeds.files._ROWS_AT_ONCE", 2)
    found = read(SHIPMENT, *rows)
    assert (found.rows.to_pylist(), found.quarantined) == (whole.rows.to_pylist(), whole.quarantined)
    assert found.rows.column("line").to_pylist() == [1, 3, 4, 7, 9]


def test_the_path_of_a_file_takes_the_memory_of_one_path() -> None:
    rows = read_file(SHIPMENT, "x" * 1_000, [(json.dumps(DELIVERY) + "\n").encode() * 3_000]).rows
    assert rows.column("path").to_pylist() == ["x" * 1_000] * 3_000
    assert rows.nbytes < 3_000 * 40
    assert pa.types.is_dictionary(rows.schema.field("path").type)


# What is published


@pytest.mark.parametrize("feed", FEEDS.values(), ids=FEEDS)
def test_the_published_schema_is_that_of_the_contract(feed: Feed) -> None:
    published = PUBLISHED / f"{feed.name}.schema.json"
    schema = json.dumps(json_schema_of(feed.contract), indent=2) + "\n"
    assert published.read_text() == schema, f"Write it to {published}."


ODD = [None, True, 0, -1, 1, 2**31, 1.5, "", "x", "7", "-7", "NaN", "USD", "EUR", "2026-11", "2026-11-01", "2026-11-02"]


@pytest.mark.parametrize("feed", FEEDS.values(), ids=FEEDS)
def test_a_row_is_taken_if_the_published_schema_allows_it_and_not_if_not(feed: Feed) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    checker = jsonschema.Draft202012Validator(
        json_schema_of(feed.contract), format_checker=jsonschema.FormatChecker(["date"])
    )
    good = GOOD[feed.name]
    rows: list[dict[str, Any]] = [good, {}, {**good, "more": 1}]
    rows += [{name: value for name, value in good.items() if name != left_out} for left_out in good]
    rows += [{**good, name: value} for name in good for value in ODD]
    for row in rows:
        # The format of a moment is not checked there.
        if row.get("delivered_at") in (None, DELIVERY["delivered_at"]) or not isinstance(row["delivered_at"], str):
            assert checker.is_valid(row) == _is_taken(feed, row), row


def _is_taken(feed: Feed, row: dict[str, Any]) -> bool:
    try:
        return read(feed, row).quarantined.num_rows == 0
    except FileRefusedError:
        return False
