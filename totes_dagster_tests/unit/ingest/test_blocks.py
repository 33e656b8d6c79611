"""The ranges of a table hold each of its rows once, whatever was done to it, on every version of the server."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import sql

from totes_dagster.ingest import blocks
from totes_dagster.ingest.blocks import Extent, Positions, extent_of, is_between

VERSIONS = pytest.mark.parametrize("version", [130000, 140000], ids=["before 14", "since 14"])
TABLE = sql.Identifier("public", "of many blocks")

LIVES = {
    "empty": [],
    "one row": ["insert into {0} values (1, 'x')"],
    "many blocks": ["insert into {0} select n, repeat('x', 300) from generate_series(1, 2000) as n"],
    "written again": [
        "insert into {0} select n, repeat('x', 300) from generate_series(1, 2000) as n",
        "delete from {0} where n % 3 = 0",
        "update {0} set t = t || 'y' where n % 2 = 0",
        "vacuum {0}",
        "insert into {0} select n, 'z' from generate_series(3000, 3300) as n",
    ],
    "narrow rows": ["insert into {0} select n from generate_series(1, 3000) as n"],
    "long values": [
        "alter table {0} alter column t set storage external",
        "insert into {0} select n, repeat('x', 9000) from generate_series(1, 200) as n",
    ],
    "inherited": [
        "create table child () inherits ({0})",
        "insert into {0} select n, repeat('x', 300) from generate_series(1, 500) as n",
        "insert into child select n, repeat('x', 300) from generate_series(1000, 3000) as n",
    ],
}
"""What is done to a table with the columns n and t."""


@pytest.fixture
def connection(database: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> Iterator[psycopg.Connection]:
    monkeypatch.setattr(blocks, "_BYTES_AT_ONCE", 2**16)
    with psycopg.connect(database(), autocommit=True) as opened:
        yield opened


def read_in_ranges(connection: psycopg.Connection, version: int) -> tuple[Counter[int], int]:
    """The rows by their number, as read in ranges, and how many ranges there were."""
    extent = extent_of(connection, TABLE)
    ranges = list(extent.ranges())
    rows = Counter[int]()
    for positions in ranges:
        condition = is_between(positions, extent, version)
        rows.update(n for (n,) in connection.execute(sql.SQL("select n from {} where {}").format(TABLE, condition)))
    return rows, len(ranges)


def all_rows(connection: psycopg.Connection) -> Counter[int]:
    return Counter(n for (n,) in connection.execute(sql.SQL("select n from {}").format(TABLE)))


@VERSIONS
@pytest.mark.parametrize("life", LIVES.values(), ids=LIVES.keys())
def test_each_row_is_in_one_range(connection: psycopg.Connection, life: list[str], version: int) -> None:
    connection.execute(sql.SQL("create table {} (n integer, t text)").format(TABLE))
    for statement in life:
        connection.execute(sql.SQL(statement).format(TABLE))
    found, ranges = read_in_ranges(connection, version)
    assert found == all_rows(connection)
    assert (ranges > 1) == (found.total() > 1)


@VERSIONS
def test_each_row_of_a_partitioned_table_is_in_one_range(connection: psycopg.Connection, version: int) -> None:
    connection.execute(sql.SQL("create table {} (n integer, t text) partition by list (n)").format(TABLE))
    connection.execute(
        sql.SQL("create table few partition of {} for values in (1); create table many partition of {} default").format(
            TABLE, TABLE
        )
    )
    connection.execute(
        sql.SQL("insert into {} select n % 1500, repeat('x', 300) from generate_series(1, 3000) as n").format(TABLE)
    )
    found, ranges = read_in_ranges(connection, version)
    assert found == all_rows(connection)
    assert ranges > 5


def test_since_14_a_range_is_found_without_reading_other_blocks(connection: psycopg.Connection) -> None:
    connection.execute(sql.SQL("create table {} (n integer, t text)").format(TABLE))
    connection.execute(sql.SQL(LIVES["many blocks"][0]).format(TABLE))
    extent = extent_of(connection, TABLE)
    condition = is_between(next(extent.ranges()), extent, connection.info.server_version)
    statement = sql.SQL("explain (analyze, buffers, costs off, format json) select from {} where {}")
    ((((plan,)),),) = connection.execute(statement.format(TABLE, condition)).fetchall()
    assert plan["Plan"]["Node Type"] == "Tid Range Scan"
    assert plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"] == 8


@given(st.integers(0, 2**40), st.integers(1, 2**40))
def test_halves_are_a_range_without_gap_and_overlap(first: int, length: int) -> None:
    positions = Positions(first, first + length)
    halves = positions.halves()
    if halves is None:
        assert length == 1
        return
    one, two = halves
    assert (one.first, one.end, two.end) == (positions.first, two.first, positions.end)
    assert one.first < one.end < two.end


def test_long_values_elsewhere_make_ranges_smaller() -> None:
    narrow = Extent(block_size=8192, longest=2**30, size=2**30, long_values=0)
    wide = Extent(block_size=8192, longest=2**30, size=2**30, long_values=63 * 2**30)
    assert len(list(wide.ranges())) == 64 * len(list(narrow.ranges()))


def test_a_block_whose_values_are_too_long_for_one_statement_is_divided_too() -> None:
    extent = Extent(block_size=8192, longest=2 * 8192, size=2 * 8192, long_values=200 * 2**20)
    ranges = list(extent.ranges())
    assert ranges[0].first == 0
    assert ranges[-1].end == 2 << 16
    assert all(one.end == two.first for one, two in itertools.pairwise(ranges))
    assert 20 < len(ranges) < 100
