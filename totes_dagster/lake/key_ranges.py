"""The keys of an event table by ranges: how many there are in each, and their checksum.

Two states of a table have the same keys wherever these are equal, so keys that are gone are looked for in the other
ranges only. The counts of all ranges are one object of the ingestion zone, which a manifest names.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import pyarrow as pa

from totes_dagster.errors import PartSchemaError
from totes_dagster.lake.manifest import AddedKeys, Census
from totes_dagster.schema.arrow import described

RANGE_BITS = 14
"""A range consists of the keys that differ only in this many of their lowest bits. Manifests and queries rely on it, so
it cannot be changed."""

CHECKSUM_MODULUS = 2**63
"""Checksums are sums of hashes modulo this number."""

_SCHEMA = pa.schema([("number", pa.int32()), ("keys", pa.int64()), ("checksum", pa.int64())])


class RangeCount(NamedTuple):
    """The keys in one range: how many, and their checksum, from 0 to below `CHECKSUM_MODULUS`."""

    keys: int
    checksum: int


KeyRanges = Mapping[int, RangeCount]
"""The ranges of a table that have keys, by number: the keys without their lowest bits."""


def range_of(key: int) -> int:
    """The number of the range that a key is in."""
    return key >> RANGE_BITS


def range_count(keys: int, checksum: int) -> RangeCount:
    """A count with a checksum as PostgreSQL computes it, whose remainders are negative for negative numbers."""
    return RangeCount(keys, checksum % CHECKSUM_MODULUS)


def total_of(ranges: KeyRanges) -> RangeCount:
    """The count of all keys."""
    return range_count(sum(count.keys for count in ranges.values()), sum(count.checksum for count in ranges.values()))


def with_added(ranges: KeyRanges, added: KeyRanges) -> dict[int, RangeCount]:
    """Ranges after keys were added that they did not have."""
    sums = dict(ranges)
    for number, count in added.items():
        before = sums.get(number, RangeCount(0, 0))
        sums[number] = range_count(before.keys + count.keys, before.checksum + count.checksum)
    return sums


def ranges_without_some(before: KeyRanges, now: KeyRanges) -> set[int]:
    """The ranges in which a key may be gone: those that had keys and have not the same ones any more."""
    return {number for number, count in before.items() if now.get(number) != count}


def are_of(ranges: KeyRanges, census: Census) -> bool:
    """Whether ranges add up to a table's census."""
    return total_of(ranges) == range_count(census.rows, census.keys)


def to_table(ranges: KeyRanges) -> pa.Table:
    """Ranges as the rows of their object."""
    numbers = sorted(ranges)
    columns = [numbers, [ranges[number].keys for number in numbers], [ranges[number].checksum for number in numbers]]
    return pa.table(dict(zip(_SCHEMA.names, columns, strict=True)), _SCHEMA)


def from_table(rows: pa.Table) -> dict[int, RangeCount]:
    """Ranges from the rows of their object.

    Raises:
        PartSchemaError: they are not such rows.
    """
    if not rows.schema.equals(_SCHEMA):
        raise PartSchemaError(f"These are not the ranges of a table's keys: {described(rows.schema)}.")
    numbers, keys, checksums = (rows.column(name).to_pylist() for name in _SCHEMA.names)
    return dict(zip(numbers, map(RangeCount, keys, checksums), strict=True))


def to_added(ranges: KeyRanges) -> tuple[AddedKeys, ...]:
    """Ranges as a manifest lists them."""
    return tuple(AddedKeys(number=number, keys=keys, checksum=checksum) for number, (keys, checksum) in ranges.items())


def from_added(added: Iterable[AddedKeys]) -> dict[int, RangeCount]:
    """Ranges from a manifest's list."""
    return {each.number: RangeCount(each.keys, each.checksum) for each in added}
