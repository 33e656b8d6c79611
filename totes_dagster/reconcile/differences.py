"""How rows of the warehouse differ from the source: by key, and described in words.

Decisions over plain values. Dates and times are compared as the texts that PostgreSQL writes, because Python's types
cannot represent all of them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, time
from typing import Any

import pyarrow as pa
from sqlalchemy import Boolean, String, Table

from totes_dagster.schema.star import is_personal, natural_key_of, remodelled_columns

Row = tuple[Any, ...]

_MAX_SAMPLES = 5
_MAX_VALUE_LENGTH = 60


@dataclass(frozen=True)
class TableDifferences:
    """What the comparison of one star table found. Keys are natural keys, sorted; a day is a number such as 20240229.

    Attributes:
        rows: how many rows were compared, counted in the source.
        missing: keys that are in the source but not in the warehouse.
        extra: keys that are in the warehouse but not in the source. Only for facts: dimensions keep members that are
            gone from the source, because history refers to them.
        different: keys that are in both, with different values.
        repeated: keys of a fact with a version that repeats the one before it, which a load never writes.
        unaccounted: sentences about batches of which a fact has more or fewer versions than they brought. They cannot
            be repaired from the source, so they are not part of `count`.
        samples: up to five descriptions of a difference, each for one key.
        redacted_samples: the same without the values of personal columns, for logs and for Dagster.
        ranges: how many key ranges were compared by checksum; 0 if the table was compared whole.
        ranges_descended: in how many of them rows had to be compared.
    """

    rows: int = 0
    missing: tuple[int, ...] = ()
    extra: tuple[int, ...] = ()
    different: tuple[int, ...] = ()
    repeated: tuple[int, ...] = ()
    unaccounted: tuple[str, ...] = ()
    samples: tuple[str, ...] = ()
    redacted_samples: tuple[str, ...] = ()
    ranges: int = 0
    ranges_descended: int = 0

    @property
    def count(self) -> int:
        """How many keys differ."""
        return len(self.missing) + len(self.extra) + len(self.different) + len(self.repeated)

    @property
    def repairable(self) -> tuple[int, ...]:
        """The keys that can be repaired by a new batch with their source rows, sorted."""
        return tuple(sorted({*self.missing, *self.extra, *self.different}))

    def __bool__(self) -> bool:
        """Whether any key differs."""
        return self.count > 0


@dataclass
class Findings:
    """Collects the differences of one star table.

    Attributes:
        star: the star table.
        authority: name of the side that the warehouse is compared with, for the samples.
    """

    star: Table
    authority: str = "source"
    missing: set[int] = field(default_factory=set)
    extra: set[int] = field(default_factory=set)
    different: set[int] = field(default_factory=set)
    repeated: set[int] = field(default_factory=set)
    samples: list[str] = field(default_factory=list)
    redacted_samples: list[str] = field(default_factory=list)

    def compare_rows(self, expected: pa.Table, current: Iterable[Row]) -> None:
        """Compare rows as they should be with the current rows of the warehouse.

        Args:
            expected: rows of the star table, at most one per key, with the declared columns.
            current: rows with the same columns, and dates and times as text. Rows with other keys than the expected
                ones are ignored: they are in quarantine, or stay in a dimension after their source rows are gone.
        """
        columns = [_plain(column) for column in expected.columns]
        rows = {row[0]: row for row in zip(*columns, strict=True)}
        missing = set(rows)
        for row in current:
            key = row[0]
            if key not in rows:
                continue
            missing.discard(key)
            if row != rows[key]:
                self.different.add(_number(key))
                self._sample(
                    key,
                    self._describe_difference(row, rows[key], redacted=False),
                    self._describe_difference(row, rows[key], redacted=True),
                )
        for key in sorted(missing):
            self.missing.add(_number(key))
            self._sample(key, "not in the warehouse")

    def add_extra(self, keys: Iterable[int]) -> None:
        """Add keys that are in the warehouse but not in the source."""
        for key in sorted(keys):
            self.extra.add(key)
            self._sample(key, f"in the warehouse, but not in the {self.authority}")

    def add_repeated(self, keys: Iterable[int]) -> None:
        """Add keys with a version that repeats the one before it."""
        for key in sorted(keys):
            self.repeated.add(key)
            self._sample(key, "a version repeats the one before it")

    def differences(
        self, rows: int, *, ranges: int = 0, ranges_descended: int = 0, unaccounted: Iterable[str] = ()
    ) -> TableDifferences:
        """Everything that was found; the arguments are those of `TableDifferences`."""
        return TableDifferences(
            rows=rows,
            missing=tuple(sorted(self.missing)),
            extra=tuple(sorted(self.extra)),
            different=tuple(sorted(self.different)),
            repeated=tuple(sorted(self.repeated)),
            unaccounted=tuple(unaccounted),
            samples=tuple(self.samples),
            redacted_samples=tuple(self.redacted_samples),
            ranges=ranges,
            ranges_descended=ranges_descended,
        )

    def _sample(self, key: Any, difference: str, redacted: str | None = None) -> None:
        if len(self.samples) < _MAX_SAMPLES:
            self.samples.append(f"{natural_key_of(self.star)} {key}: {difference}")
            self.redacted_samples.append(f"{natural_key_of(self.star)} {key}: {redacted or difference}")

    def _describe_difference(self, current: Row, expected: Row, *, redacted: bool) -> str:
        return "; ".join(
            f"{column.name} differs from the {self.authority}"
            if redacted and is_personal(column)
            else f"{column.name} is {_formatted(actual, column.type)} in the warehouse, "
            f"{_formatted(right, column.type)} in the {self.authority}"
            for column, actual, right in zip(remodelled_columns(self.star), current, expected, strict=True)
            if actual != right
        )


def _plain(column: pa.ChunkedArray) -> list[Any]:
    """A column's values; dates and times as PostgreSQL writes them in ISO style."""
    return [_as_text(value) if isinstance(value, date | time) else value for value in column.to_pylist()]


def _as_text(value: date | time) -> str:
    text = value.isoformat()
    return text.rstrip("0") if "." in text else text


def _number(key: int | str) -> int:
    return int(key.replace("-", "")) if isinstance(key, str) else key


def _formatted(value: Any, type_: Any) -> str:
    match type_:
        case _ if value is None:
            return "null"
        case String():
            text = repr(value)
            return text if len(text) <= _MAX_VALUE_LENGTH else f"{text[:_MAX_VALUE_LENGTH]}…"
        case Boolean():
            return str(value).lower()
        case _:
            return str(value)
