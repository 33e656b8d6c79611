"""Dividing a table by the blocks that its rows are in, so that each part of it is read in a statement of its own.

A block is found by its number, without an index, and no row that a snapshot shows moves to another block.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import psycopg
from psycopg import sql

_BYTES_AT_ONCE = 2**23
"""How many bytes of a table are read in one statement, if its rows are equally long. That many make some 75,000 rows of
an event table, and bound the memory of the server and of the client."""

_FINDS_RANGES_SINCE = 140000
"""The first version of PostgreSQL that finds the rows between two positions without scanning the whole table."""

_ITEM_BITS = 16
_SMALLEST_ITEM = 28
"""The fewest bytes of a block that a row occupies, with the pointer to it."""

_EXTENT = """
    with recursive tree(oid) as (
        select {table}::regclass::oid union all select inhrelid from tree join pg_inherits on inhparent = oid)
    select current_setting('block_size')::integer,
           coalesce(max(pg_relation_size(oid)), 0)::bigint,
           coalesce(sum(pg_relation_size(oid)), 0)::bigint,
           coalesce(sum(pg_relation_size(nullif(reltoastrelid, 0))), 0)::bigint
    from tree join pg_class using (oid)
"""


@dataclass(frozen=True)
class Positions:
    """The rows from one position to before another: the number of a block, shifted by 16 bits, plus that of an item."""

    first: int
    end: int

    def halves(self) -> "tuple[Positions, Positions] | None":
        """The first and the second half, divided between two blocks if possible; None if this is one position."""
        middle = (self.first + self.end) // 2
        if (between := middle >> _ITEM_BITS << _ITEM_BITS) > self.first:
            middle = between
        return None if middle == self.first else (Positions(self.first, middle), Positions(middle, self.end))


@dataclass(frozen=True)
class Extent:
    """How large a table is, with its partitions and the tables that inherit from it.

    Attributes:
        block_size: the server's, in bytes.
        longest: the bytes of the largest of these tables, without those of long values, which are elsewhere.
        size: the bytes of all of them.
        long_values: the bytes of their long values.
    """

    block_size: int
    longest: int
    size: int
    long_values: int

    def shares(self, rows: int, rows_per_share: int) -> list[Positions]:
        """Divide the table into ranges of whole blocks that have at most so many rows each, if all are equally full.

        Args:
            rows: how many rows the table has.
            rows_per_share: how many of them a range should have at most.
        """
        blocks = self.longest // self.block_size
        if not blocks:
            return []
        per_share = max(blocks // max(-(-rows // rows_per_share), 1), 1)
        return [
            Positions(first << _ITEM_BITS, min(first + per_share, blocks) << _ITEM_BITS)
            for first in range(0, blocks, per_share)
        ]

    def ranges(self, share: Positions | None = None) -> Iterator[Positions]:
        """Divide the table, or a share of it, into ranges that cover it, of about `_BYTES_AT_ONCE` each."""
        blocks = self.longest // self.block_size
        if not blocks:
            return
        first_block, end = (share.first >> _ITEM_BITS, share.end >> _ITEM_BITS) if share else (0, blocks)
        bytes_for_a_block = (self.size + self.long_values) // blocks
        if bytes_for_a_block <= _BYTES_AT_ONCE:
            at_once = _BYTES_AT_ONCE // bytes_for_a_block
            for first in range(first_block, end, at_once):
                yield Positions(first << _ITEM_BITS, min(first + at_once, end) << _ITEM_BITS)
            return
        # A block has fewer items than it could, and they are not equally long.
        at_once = max(self.items * _BYTES_AT_ONCE // (2 * bytes_for_a_block), 1)
        for block in range(first_block, end):
            starts = [(block << _ITEM_BITS) + item for item in range(0, self.items + 1, at_once)]
            for first, end in pairwise([*starts, block + 1 << _ITEM_BITS]):
                yield Positions(first, end)

    @property
    def items(self) -> int:
        """The most rows that a block can have."""
        return self.block_size // _SMALLEST_ITEM


def extent_of(connection: psycopg.Connection, table: sql.Identifier) -> Extent:
    """How large a table is now, whose definition is locked; the rows of a snapshot taken before are all in there."""
    statement = sql.SQL(_EXTENT).format(table=sql.Literal(table.as_string(None)))
    (row,) = connection.execute(statement).fetchall()
    return Extent(*row)


def is_between(positions: Positions, extent: Extent, version: int) -> sql.Composable:
    """SQL of the condition that a row is in a range.

    Args:
        positions: the range.
        extent: the table's.
        version: the server's, as a number: 130020, 180004.
    """
    if version >= _FINDS_RANGES_SINCE:
        return sql.SQL("ctid >= {} and ctid < {}").format(_tid(positions.first), _tid(positions.end))
    return sql.SQL(
        "ctid = any (array(select format('(%s,%s)', block, item)::tid "
        "from generate_series({}::bigint, {}) as block, generate_series(1, {}) as item "
        "where (block << {bits}) + item >= {} and (block << {bits}) + item < {}))"
    ).format(
        sql.Literal(positions.first >> _ITEM_BITS),
        sql.Literal(positions.end - 1 >> _ITEM_BITS),
        sql.Literal(extent.items),
        sql.Literal(positions.first),
        sql.Literal(positions.end),
        bits=sql.Literal(_ITEM_BITS),
    )


def _tid(position: int) -> sql.Composed:
    return sql.SQL("{}::tid").format(sql.Literal(f"({position >> _ITEM_BITS},{position % 2**_ITEM_BITS})"))
