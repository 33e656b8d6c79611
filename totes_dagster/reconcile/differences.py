"""How rows of the warehouse differ from what the source says: by key, and in words.

Plain values on both sides: days and times are compared as the texts that PostgreSQL writes, because its types hold more
of them than Python's do.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, time
from typing import Any

import pyarrow as pa
from sqlalchemy import Boolean, String, Table

from totes_dagster.schema.star import is_personal, natural_key_of, remodelled_columns

Row = tuple[Any, ...]

_SAMPLES = 5
_LONGEST_VALUE = 60


@dataclass(frozen=True)
class TableDifferences:
    """What the comparison of one star table found. Keys are natural keys, sorted; days are numbers: 20240229.

    Attributes:
        rows: how many rows were compared, counted on the side of the source.
        missing: keys that the source has and the warehouse does not show.
        extra: keys that the warehouse shows and the source does not have. Of facts only: history refers to members of
            dimensions that are gone.
        different: keys that both have, with different values.
        doubled: keys of a fact with a version that repeats the one before it, which no load writes.
        unaccounted: sentences about batches of which a fact holds more or fewer versions than they brought. That cannot
            be repaired from the source, so it is not part of `count`.
        samples: up to five sentences, each about one key.
        discreet: the same, without the values of personal columns, for whoever only looks at the flow.
        ranges: how many key ranges were compared by checksum; 0 where the table is compared whole.
        ranges_descended: in how many of them rows had to be compared.
    """

    rows: int = 0
    missing: tuple[int, ...] = ()
    extra: tuple[int, ...] = ()
    different: tuple[int, ...] = ()
    doubled: tuple[int, ...] = ()
    unaccounted: tuple[str, ...] = ()
    samples: tuple[str, ...] = ()
    discreet: tuple[str, ...] = ()
    ranges: int = 0
    ranges_descended: int = 0

    @property
    def count(self) -> int:
        """How many keys differ."""
        return len(self.missing) + len(self.extra) + len(self.different) + len(self.doubled)

    @property
    def repairable(self) -> tuple[int, ...]:
        """The keys that a new batch with their source rows puts right, sorted."""
        return tuple(sorted({*self.missing, *self.extra, *self.different}))

    def __bool__(self) -> bool:
        """Whether any key differs."""
        return self.count > 0


@dataclass
class Findings:
    """Differences of one star table as they are found.

    Attributes:
        star: the star table.
        authority: what samples call the side that is right.
    """

    star: Table
    authority: str = "source"
    missing: set[int] = field(default_factory=set)
    extra: set[int] = field(default_factory=set)
    different: set[int] = field(default_factory=set)
    doubled: set[int] = field(default_factory=set)
    samples: list[str] = field(default_factory=list)
    discreet: list[str] = field(default_factory=list)

    def compare_rows(self, expected: pa.Table, shown: Iterable[Row]) -> None:
        """Compare all rows with some keys, as they must be, with those that the warehouse shows.

        Args:
            expected: rows of the star table, at most one per key, in columns as declared.
            shown: rows in the same columns, of any keys, with days and times as text. What has another key is not
                judged: it is in quarantine, or stays in a dimension after its source row is gone.
        """
        columns = [_plain(column) for column in expected.columns]
        rows = {row[0]: row for row in zip(*columns, strict=True)}
        unseen = set(rows)
        for row in shown:
            key = row[0]
            if key not in rows:
                continue
            unseen.discard(key)
            if row != rows[key]:
                self.different.add(_number(key))
                self._sample(key, *(self._contrast(row, rows[key], discreet=discreet) for discreet in (False, True)))
        for key in sorted(unseen):
            self.missing.add(_number(key))
            self._sample(key, "not in the warehouse")

    def add_extra(self, keys: Iterable[int]) -> None:
        """Add keys that the warehouse shows and the source does not have."""
        for key in sorted(keys):
            self.extra.add(key)
            self._sample(key, f"in the warehouse, but not in the {self.authority}")

    def add_doubled(self, keys: Iterable[int]) -> None:
        """Add keys with a version that repeats the one before it."""
        for key in sorted(keys):
            self.doubled.add(key)
            self._sample(key, "a version repeats the one before it")

    def differences(
        self, rows: int, *, ranges: int = 0, ranges_descended: int = 0, unaccounted: Iterable[str] = ()
    ) -> TableDifferences:
        """All that was found."""
        return TableDifferences(
            rows=rows,
            missing=tuple(sorted(self.missing)),
            extra=tuple(sorted(self.extra)),
            different=tuple(sorted(self.different)),
            doubled=tuple(sorted(self.doubled)),
            unaccounted=tuple(unaccounted),
            samples=tuple(self.samples),
            discreet=tuple(self.discreet),
            ranges=ranges,
            ranges_descended=ranges_descended,
        )

    def _sample(self, key: Any, what: str, discreetly: str | None = None) -> None:
        if len(self.samples) < _SAMPLES:
            self.samples.append(f"{natural_key_of(self.star)} {key}: {what}")
            self.discreet.append(f"{natural_key_of(self.star)} {key}: {discreetly or what}")

    def _contrast(self, shown: Row, expected: Row, *, discreet: bool) -> str:
        return "; ".join(
            f"{column.name} is another in the {self.authority}"
            if discreet and is_personal(column)
            else f"{column.name} is {_told(actual, column.type)} in the warehouse, "
            f"{_told(right, column.type)} in the {self.authority}"
            for column, actual, right in zip(remodelled_columns(self.star), shown, expected, strict=True)
            if actual != right
        )


def _plain(column: pa.ChunkedArray) -> list[Any]:
    """A column's values; days and times as PostgreSQL writes them in its ISO style."""
    return [_as_text(value) if isinstance(value, date | time) else value for value in column.to_pylist()]


def _as_text(value: date | time) -> str:
    text = value.isoformat()
    return text.rstrip("0") if "." in text else text


def _number(key: int | str) -> int:
    return int(key.replace("-", "")) if isinstance(key, str) else key


def _told(value: Any, type_: Any) -> str:
    match type_:
        case _ if value is None:
            return "null"
        case String():
            text = repr(value)
            return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"
        case Boolean():
            return str(value).lower()
        case _:
            return str(value)
