"""Columns that are read in bulk hold the values that the server has, whatever they are, nulls and limits among them."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import sql
from psycopg.errors import DivisionByZero

from totes_dagster.local.server import EmbeddedPostgres
from totes_dagster.postgres.columns import READABLE_TYPES, Column, is_too_large, read_columns

FIRST, LAST = datetime.fromisoformat("0001-01-01"), datetime.fromisoformat("9999-12-31T23:59:59.999999")
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))

TYPES: dict[str, tuple[pa.DataType, st.SearchStrategy[Any], list[Any]]] = {
    "bigint": (pa.int64(), st.integers(-(2**63), 2**63 - 1), [-(2**63), 2**63 - 1, 0]),
    "boolean": (pa.bool_(), st.booleans(), [True, False]),
    "bytea": (pa.binary(), st.binary(), [b"", b"\0", b"\0\0\xff"]),
    "character varying": (pa.string(), TEXT, ["", "\\x00", "😀", "x" * 100_000]),
    "date": (pa.date32(), st.dates(), [date.min, date(1970, 1, 1), date(1999, 12, 31), date(2000, 1, 1), date.max]),
    "double precision": (pa.float64(), st.floats(allow_nan=False), [0.1, -0.0, float("inf"), 5e-324]),
    "integer": (pa.int32(), st.integers(-(2**31), 2**31 - 1), [-(2**31), 2**31 - 1, 0]),
    "real": (pa.float32(), st.floats(width=32, allow_nan=False), [0.5, float("-inf")]),
    "smallint": (pa.int16(), st.integers(-(2**15), 2**15 - 1), [-(2**15), 2**15 - 1, 0]),
    "text": (pa.string(), TEXT, ["", "\t\n", "Zoë"]),
    "time without time zone": (pa.time64("us"), st.times(), [time.min, time.max]),
    "timestamp with time zone": (
        pa.timestamp("us", tz="UTC"),
        st.datetimes(timezones=st.just(UTC)),
        [datetime(1999, 12, 31, 23, 59, 59, 999999, UTC)],
    ),
    "timestamp without time zone": (pa.timestamp("us"), st.datetimes(), [FIRST, LAST]),
}
"""Arrow's type of each, values, and limits."""


@pytest.fixture(scope="module")
def connection(postgres: EmbeddedPostgres) -> Iterator[psycopg.Connection]:
    with psycopg.connect(postgres.url(), autocommit=True) as opened:
        yield opened


def read(connection: psycopg.Connection, type_: str, values: list[Any], *, nullable: bool = True) -> pa.Array:
    """A column with these values, as it is read."""
    with connection.transaction(force_rollback=True):
        connection.execute(sql.SQL("create temporary table t (n serial, v {})").format(sql.SQL(type_)))
        with connection.cursor() as cursor:
            cursor.executemany("insert into t (v) values (%s)", [[value] for value in values])
        columns = [
            Column("n", "integer", sql.Identifier("n"), nullable=False),
            Column("v", type_, sql.Identifier("v"), nullable=nullable),
        ]
        batch = read_columns(connection, columns, sql.SQL("(select * from t order by n) as t"))
    assert batch.column("n").to_pylist() == list(range(1, len(values) + 1))
    array = batch.column("v")
    array.validate(full=True)
    return array


def test_every_type_that_can_be_read_is_tested() -> None:
    assert TYPES.keys() == READABLE_TYPES


@pytest.mark.parametrize("type_", TYPES)
@given(data=st.data())
def test_values_arrive_as_they_are(connection: psycopg.Connection, type_: str, data: st.DataObject) -> None:
    arrow, values, _ = TYPES[type_]
    given_values = data.draw(st.lists(st.none() | values, max_size=20))
    array = read(connection, type_, given_values)
    assert array.type == arrow
    assert array.to_pylist() == given_values


@pytest.mark.parametrize("type_", TYPES)
@pytest.mark.parametrize("nullable", [False, True], ids=["not null", "nullable"])
@pytest.mark.parametrize(
    "nulls", [[], [None], [None, None]], ids=["without nulls", "with a null", "with nulls one after the other"]
)
def test_limits_and_nulls_arrive_even_where_no_null_was_expected(
    connection: psycopg.Connection, type_: str, nulls: list[None], *, nullable: bool
) -> None:
    arrow, _, limits = TYPES[type_]
    expected = [*nulls, *limits, *nulls, *limits, *nulls]
    array = read(connection, type_, expected, nullable=nullable)
    assert array.type == arrow
    assert array.to_pylist() == expected
    assert array.null_count == 3 * len(nulls)


@pytest.mark.parametrize("type_", TYPES)
@pytest.mark.parametrize("nullable", [False, True], ids=["not null", "nullable"])
@pytest.mark.parametrize("rows", [1, 2])
def test_nothing_but_nulls_are_nulls(connection: psycopg.Connection, type_: str, rows: int, *, nullable: bool) -> None:
    assert read(connection, type_, [None] * rows, nullable=nullable).to_pylist() == [None] * rows


@pytest.mark.parametrize("type_", ["text", "bytea"])
@pytest.mark.parametrize("nullable", [False, True], ids=["not null", "nullable"])
@pytest.mark.parametrize("rows", [1, 2])
def test_nothing_but_empty_values_are_empty(
    connection: psycopg.Connection, type_: str, rows: int, *, nullable: bool
) -> None:
    empty = b"" if type_ == "bytea" else ""
    assert read(connection, type_, [empty] * rows, nullable=nullable).to_pylist() == [empty] * rows


@pytest.mark.parametrize("type_", TYPES)
@pytest.mark.parametrize("nullable", [False, True], ids=["not null", "nullable"])
def test_no_rows_are_an_empty_array(connection: psycopg.Connection, type_: str, *, nullable: bool) -> None:
    array = read(connection, type_, [], nullable=nullable)
    assert (array.type, len(array)) == (TYPES[type_][0], 0)


@pytest.mark.parametrize("type_", ["real", "double precision"])
def test_what_is_not_a_number_stays_one_that_is_not(connection: psycopg.Connection, type_: str) -> None:
    array = read(connection, type_, [1.0, float("nan"), None])
    assert array.is_null().to_pylist() == [False, False, True]
    assert str(array[1]) == "nan"


@pytest.mark.parametrize("infinite", ["infinity", "-infinity"])
@pytest.mark.parametrize(
    ("type_", "bits", "earliest"),
    [("date", 32, -2_440_588), ("timestamp without time zone", 64, -210_866_803_200_000_000)],
)
def test_infinite_days_and_moments_arrive_earlier_than_the_earliest(
    connection: psycopg.Connection, type_: str, bits: int, earliest: int, infinite: str
) -> None:
    array = read(connection, type_, [infinite])
    assert array.cast(pa.int32() if bits == 32 else pa.int64())[0].as_py() < earliest


def test_text_arrives_in_the_bytes_that_the_server_has(connection: psycopg.Connection) -> None:
    """Not validated: a database that does not know of encodings stores any."""
    with connection.transaction():
        rows = sql.SQL("(values ('\\xe9'::bytea), ('\\x41'::bytea)) as t (v)")
        batch = read_columns(connection, [Column("v", "bytea", sql.SQL("v"), nullable=False)], rows)
    assert batch.column("v").to_pylist() == [b"\xe9", b"A"]


@pytest.mark.slow
def test_a_result_that_is_too_large_is_told_from_other_failures(connection: psycopg.Connection) -> None:
    columns = [Column("v", "text", sql.SQL("repeat('x', 300000000)"), nullable=False)]
    with pytest.raises(psycopg.Error) as failed, connection.transaction():
        read_columns(connection, columns, sql.SQL("generate_series(1, 4)"))
    assert is_too_large(failed.value)
    with pytest.raises(DivisionByZero) as other, connection.transaction():
        read_columns(connection, [Column("v", "integer", sql.SQL("1 / 0"))], sql.SQL("generate_series(1, 4)"))
    assert not is_too_large(other.value)
