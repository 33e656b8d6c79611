"""What providers send is read exactly as it is written, and what is not exchange rates is refused."""

from contextlib import suppress
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from totes_dagster.errors import RatesFormatError
from totes_dagster.feeds.rates import Rate, parse_rates
from totes_dagster.simulator.euro_rates import Quote
from totes_dagster.simulator.rates_server import CSV_HEADER, as_csv, as_json

MONDAY, TUESDAY = date(2026, 1, 5), date(2026, 1, 6)
SHORT_HEADER = "CURRENCY,CURRENCY_DENOM,TIME_PERIOD,OBS_VALUE"

codes = st.sampled_from(["USD", "GBP", "JPY"])
positive = st.builds(
    lambda digits, places: Decimal(digits).scaleb(-places), st.integers(1, 10**15), st.integers(-3, 15)
)


@given(st.dictionaries(st.tuples(codes, st.dates()), positive), st.sampled_from([as_csv, as_json]))
def test_any_rates_in_either_format_are_read_back_exactly(printed, form) -> None:  # type: ignore[no-untyped-def]
    body = form([Quote(code, day, rate) for (code, day), rate in printed.items()])
    read = parse_rates(body.encode())
    assert read == [Rate(code, day, rate) for (code, day), rate in printed.items()]
    assert [str(rate.rate) for rate in read] == [str(rate) for rate in printed.values()]


@given(st.sampled_from([b"", b"[", b'[{"date":', f"{CSV_HEADER}\r\n".encode(), b"\xef\xbb\xbf"]), st.binary())
def test_random_bytes_are_refused_by_name_or_are_no_rates(beginning: bytes, rest: bytes) -> None:
    try:
        assert all(rate.rate > 0 for rate in parse_rates(beginning + rest))
    except RatesFormatError as error:
        assert len(str(error)) < 500


@given(st.data())
def test_a_body_with_a_changed_byte_is_refused_by_name_or_has_rates(data: st.DataObject) -> None:
    form = data.draw(st.sampled_from([as_csv, as_json]))
    body = bytearray(form([Quote("USD", MONDAY, Decimal("1.1")), Quote("GBP", MONDAY, Decimal("0.85"))]).encode())
    body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    with suppress(RatesFormatError):
        assert all(rate.rate > 0 for rate in parse_rates(bytes(body)))


@pytest.mark.parametrize(
    ("written", "rate"), [("1.10", "1.10"), ("1", "1"), ("1.50E2", "1.50E2"), ("0.0850", "0.0850")]
)
def test_the_digits_of_a_rate_stay_as_they_are(written: str, rate: str) -> None:
    as_line = f"{SHORT_HEADER}\nUSD,EUR,2026-01-05,{written}\n"
    as_object = f'[{{"date":"2026-01-05","base":"EUR","quote":"USD","rate":{written}}}]'
    for body in (as_line, as_object):
        (read,) = parse_rates(body.encode())
        assert read.rate.as_tuple() == Decimal(rate).as_tuple()


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_other_columns_their_order_and_a_byte_order_mark_do_not_matter(mark: bytes) -> None:
    line = b'OBS_VALUE,NEW,TIME_PERIOD,CURRENCY_DENOM,CURRENCY\n1.1,"a, ""b""\nc",2026-01-05,EUR,USD\n\n'
    array = b'\n [{"new":{"a":[1]},"rate":1.1,"quote":"USD","base":"EUR","date":"2026-01-05"}]'
    expected = [Rate("USD", MONDAY, Decimal("1.1"))]
    assert parse_rates(mark + line) == parse_rates(mark + array) == expected


@pytest.mark.parametrize("missing", ["", "NaN", "nan", " "])
def test_a_day_without_a_rate_is_skipped(missing: str) -> None:
    body = f"{SHORT_HEADER}\nUSD,EUR,2026-01-05,{missing}\nUSD,EUR,2026-01-06,1.1\n"
    assert parse_rates(body.encode()) == [Rate("USD", TUESDAY, Decimal("1.1"))]


def test_a_rate_that_is_null_is_skipped() -> None:
    assert parse_rates(b'[{"date":"2026-01-05","base":"EUR","quote":"USD","rate":null}]') == []


@pytest.mark.parametrize("body", [CSV_HEADER.encode(), b"[]"])
def test_a_body_may_list_no_rates(body: bytes) -> None:
    assert parse_rates(body) == []


def test_the_same_rate_twice_is_one_rate() -> None:
    line = "USD,EUR,2026-01-05,1.1\n"
    assert len(parse_rates(f"{SHORT_HEADER}\n{line}{line}".encode())) == 1


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ("USD,USD,2026-01-05,1.1", "line 2 cannot be used: its base currency is 'USD' and not EUR"),
        ("USD,EUR,2026-01-05,-1.1", "the rate '-1.1' is not more than 0"),
        ("USD,EUR,2026-01-05,0.000", "the rate '0.000' is not more than 0"),
        ("USD,EUR,2026-01-05,Infinity", "the rate 'Infinity' is not a number"),
        ("USD,EUR,2026-01-05,1_0", "the rate '1_0' is not a number"),
        ("USD,EUR,2026-01-05,\u0661", "the rate '\u0661' is not a number"),
        ("USD,EUR,2026-01-05,1e999", "the rate '1e999' is not a number"),
        ("USD,EUR,2026-01-05,1.1x", "the rate '1.1x' is not a number"),
        ("USD,EUR,2026-02-30,1.1", "'2026-02-30' is not a day"),
        ("USD,EUR,2026-W01,1.1", "'2026-W01' is not a day"),
        ("USD,EUR,20260105,1.1", "'20260105' is not a day"),
        ("usd,EUR,2026-01-05,1.1", "'usd' is not the code of another currency"),
        ("EUR,EUR,2026-01-05,1", "'EUR' is not the code of another currency"),
        ("USD,EUR,2026-01-05", "Line 2 .* has 3 values where there are 4 columns"),
        ('USD,EUR,2026-01-05,"1.1', "Line 2 .* is not CSV: unexpected end of data"),
        ("USD,EUR,2026-01-05,1.1\nUSD,EUR,2026-01-05,1.2", "line 3 .* another rate of USD on 2026-01-05"),
    ],
)
def test_a_line_that_is_no_rate_is_refused(values: str, reason: str) -> None:
    with pytest.raises(RatesFormatError, match=reason):
        parse_rates(f"{SHORT_HEADER}\n{values}".encode())


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ('[{"date":"2026-01-05","base":"USD","quote":"USD","rate":1}]', "entry 1 .* base currency is 'USD'"),
        ('[{"date":"2026-01-05","base":"EUR","quote":"USD","rate":-1}]', "the rate '-1' is not more than 0"),
        ('[{"date":"2026-01-05","base":"EUR","quote":"USD","rate":true}]', "the rate True is not a number"),
        ('[{"date":"2026-01-05","base":"EUR","quote":["USD"],"rate":1}]', r"\['USD'\] is not the code"),
        ('[{"date":5,"base":"EUR","quote":"USD","rate":1}]', "'5' is not a day"),
        ('[{"date":"2026-01-05","base":"EUR","quote":"USD"}]', "Entry 1 .* is not an object with base, quote"),
        ("[1]", "Entry 1 .* is not an object"),
        ('[{"date":"2026-01-05"', "is not valid JSON .see line 1.. Fetch it again"),
        ("[" * 100_000, "is not valid JSON .see its brackets."),
        (
            f'[{{"date":"2026-01-05","base":"EUR","quote":"USD","rate":"{"9" * 5000}"}}]',
            "9…. is not a number|9… is not",
        ),
    ],
)
def test_an_entry_that_is_no_rate_is_refused(entries: str, reason: str) -> None:
    with pytest.raises(RatesFormatError, match=reason) as raised:
        parse_rates(entries.encode())
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "is empty: it is neither"),
        (b"  \n", "is empty: it is neither"),
        (b"<!DOCTYPE html><title>secret</title>", "is HTML or XML"),
        (b'{"message": "secret"}', "is a JSON object"),
        (b"secret,b\n1,2\n", "has no columns CURRENCY_DENOM, CURRENCY, TIME_PERIOD, OBS_VALUE"),
        (b"\xff\xfes\x00e\x00", "is not text in UTF-8"),
    ],
)
def test_what_is_in_neither_format_is_refused_without_quoting_it(body: bytes, reason: str) -> None:
    with pytest.raises(RatesFormatError, match=reason) as raised:
        parse_rates(body)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("form", [as_csv, as_json])
def test_a_body_that_is_cut_off_inside_a_rate_is_not_read_as_another_rate(form) -> None:  # type: ignore[no-untyped-def]
    body = form([Quote("USD", MONDAY, Decimal("1.1234")), Quote("USD", TUESDAY, Decimal("1.1235"))])
    with pytest.raises(RatesFormatError, match="cut off"):
        parse_rates(body[: body.index("1.1235") + 3].encode())
