"""What providers send is read exactly as it is written, by the contract of the feed that it becomes a file of."""

from contextlib import suppress
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from totes_dagster.errors import FileRefusedError
from totes_dagster.feeds.rates import Rate, parse_rates
from totes_dagster.simulator.euro_rates import Quote
from totes_dagster.simulator.rates_server import CSV_HEADER, as_csv, as_json

MONDAY, TUESDAY = date(2026, 1, 5), date(2026, 1, 6)
SHORT_HEADER = "CURRENCY,CURRENCY_DENOM,TIME_PERIOD,OBS_VALUE"

codes = st.sampled_from(["USD", "GBP", "JPY"])
positive = st.decimals(min_value="0.00000001", max_value=10**10 - 1, places=8)


@given(st.dictionaries(st.tuples(codes, st.dates()), positive), st.sampled_from([as_csv, as_json]))
def test_any_rates_in_either_format_are_read_back_exactly(printed, form) -> None:  # type: ignore[no-untyped-def]
    body = form([Quote(code, day, rate) for (code, day), rate in printed.items()])
    read = parse_rates(body.encode())
    assert read == [Rate(code, day, rate) for (code, day), rate in printed.items()]


@given(st.sampled_from([b"", b"[", b'[{"date":', f"{CSV_HEADER}\r\n".encode(), b"\xef\xbb\xbf"]), st.binary())
def test_random_bytes_are_refused_by_name_or_are_no_rates(beginning: bytes, rest: bytes) -> None:
    try:
        assert all(rate.rate > 0 for rate in parse_rates(beginning + rest))
    except FileRefusedError as error:
        assert len(str(error)) < 500


@given(st.data())
def test_a_body_with_a_changed_byte_is_refused_by_name_or_has_rates(data: st.DataObject) -> None:
    form = data.draw(st.sampled_from([as_csv, as_json]))
    body = bytearray(form([Quote("USD", MONDAY, Decimal("1.1")), Quote("GBP", MONDAY, Decimal("0.85"))]).encode())
    body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    with suppress(FileRefusedError):
        assert all(rate.rate > 0 for rate in parse_rates(bytes(body)))


@pytest.mark.parametrize("written", ["1.10", "1", "1.50E2", "0.08500001"])
def test_a_rate_is_exactly_what_is_written(written: str) -> None:
    as_line = f"{SHORT_HEADER}\nUSD,EUR,2026-01-05,{written}\n"
    as_object = f'[{{"date":"2026-01-05","base":"EUR","quote":"USD","rate":{written}}}]'
    for body in (as_line, as_object):
        assert parse_rates(body.encode()) == [Rate("USD", MONDAY, Decimal(written))]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_other_columns_their_order_and_a_byte_order_mark_do_not_matter(mark: bytes) -> None:
    line = b'OBS_VALUE,NEW,TIME_PERIOD,CURRENCY_DENOM,CURRENCY\n1.1,"a, ""b""\nc",2026-01-05,EUR,USD\n\n'
    array = b'\n [{"new":{"a":[1]},"rate":1.1,"quote":"USD","base":"EUR","date":"2026-01-05"}]'
    expected = [Rate("USD", MONDAY, Decimal("1.1"))]
    assert parse_rates(mark + line) == parse_rates(mark + array) == expected


@pytest.mark.parametrize("missing", ["", "NaN", "nan"])
def test_a_day_without_a_rate_is_skipped(missing: str) -> None:
    body = f"{SHORT_HEADER}\nUSD,EUR,2026-01-05,{missing}\nUSD,EUR,2026-01-06,1.1\n"
    assert parse_rates(body.encode()) == [Rate("USD", TUESDAY, Decimal("1.1"))]


def test_a_rate_that_is_null_is_skipped() -> None:
    assert parse_rates(b'[{"date":"2026-01-05","base":"EUR","quote":"USD","rate":null}]') == []


@pytest.mark.parametrize("body", [CSV_HEADER.encode(), b"[]", b"", b"  \n"])
def test_a_body_may_list_no_rates(body: bytes) -> None:
    assert parse_rates(body) == []


def test_the_same_rate_twice_is_one_rate() -> None:
    line = "USD,EUR,2026-01-05,1.1\n"
    assert len(parse_rates(f"{SHORT_HEADER}\n{line}{line}".encode())) == 1


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ("USD,USD,2026-01-05,1.1", "Line 2: the base is USD, not EUR"),
        ("USD,EUR,2026-01-05,-1.1", "should be greater than 0"),
        ("USD,EUR,2026-01-05,0.000", "should be greater than 0"),
        ("USD,EUR,2026-01-05,1.123456789", "no more than 8 decimal places"),
        ("USD,EUR,2026-01-05,Infinity", "give a number"),
        ("USD,EUR,2026-01-05,1_0", "give a number"),
        ("USD,EUR,2026-01-05,\u0661", "give a number"),
        ("USD,EUR,2026-01-05,1e999", "give a number"),
        ("USD,EUR,2026-01-05,1.1x", "give a number"),
        ("USD,EUR,2026-02-30,1.1", "should be a valid date"),
        ("USD,EUR,2026-W01,1.1", "give text like 2026-11-29"),
        ("USD,EUR,20260105,1.1", "give text like 2026-11-29"),
        ("usd,EUR,2026-01-05,1.1", "give text like USD"),
        ("EUR,EUR,2026-01-05,1", "a rate of EUR in EUR is none"),
        ("USD,EUR,2026-01-05", "Line 2: does not have the header's 4 fields, but 3"),
        ('USD,EUR,2026-01-05,"1.1', "It is not CSV: unexpected end of data"),
        ("USD,EUR,2026-01-05,1.1\nUSD,EUR,2026-01-05,1.2", "It says different things of USD 2026-01-05"),
    ],
)
def test_a_line_that_is_no_rate_is_refused(values: str, reason: str) -> None:
    with pytest.raises(FileRefusedError, match=reason):
        parse_rates(f"{SHORT_HEADER}\n{values}".encode())


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ('[{"date":"2026-01-05","base":"USD","quote":"USD","rate":1}]', "the base is USD, not EUR"),
        ('[{"date":"2026-01-05","base":"EUR","quote":"USD","rate":-1}]', "should be greater than 0"),
        ('[{"date":"2026-01-05","base":"EUR","quote":"USD","rate":true}]', "give a number"),
        ('[{"date":"2026-01-05","base":"EUR","quote":["USD"],"rate":1}]', "give text like USD"),
        ('[{"date":5,"base":"EUR","quote":"USD","rate":1}]', "give text like 2026-11-29"),
        ('[{"date":"2026-01-05","base":"EUR","quote":"USD"}]', "field required"),
        ("[1]", "Element 1 of its JSON array is not an object"),
        ('[{"date":"2026-01-05"', "ends too early"),
        ("[" * 100_000, "Element 1 of its JSON array is not an object"),
        (f'[{{"date":"2026-01-05","base":"EUR","quote":"USD","rate":{"9" * 5000}}}]', "a number that is too long"),
    ],
)
def test_an_entry_that_is_no_rate_is_refused(entries: str, reason: str) -> None:
    with pytest.raises(FileRefusedError, match=reason) as raised:
        parse_rates(entries.encode())
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"<!DOCTYPE html><title>secret</title>", "It is HTML or XML"),
        (b'{"message": "secret"}', "field required"),
        (b"secret,b\n1,2\n", "does not have the feed's columns"),
        (b"\xff\xfes\x00e\x00", "It is not UTF-8"),
    ],
)
def test_what_is_in_neither_format_is_refused_without_quoting_it(body: bytes, reason: str) -> None:
    with pytest.raises(FileRefusedError, match=reason) as raised:
        parse_rates(body)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("form", [as_csv, as_json])
def test_a_body_that_is_cut_off_inside_a_rate_is_not_read_as_another_rate(form) -> None:  # type: ignore[no-untyped-def]
    body = form([Quote("USD", MONDAY, Decimal("1.1234")), Quote("USD", TUESDAY, Decimal("1.1235"))])
    with pytest.raises(FileRefusedError):
        parse_rates(body[: body.index("1.1235") + 3].encode())
