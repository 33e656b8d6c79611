"""Whatever files are dropped: each row is shown exactly or set aside with a reason, or its file refused with one."""

import csv
import gzip
import io
import json
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from totes_dagster.feed_pipeline import FeedRefreshed
from totes_dagster.feeds.declared import EXCHANGE_RATE, FEEDS, SALES_TARGET, SHIPMENT, Feed
from totes_dagster.pipeline import rebuild
from totes_dagster_tests.feeding import Feeding, feeding_from, rates
from totes_dagster_tests.world import World

BAD = object()
"""What becomes of a value that breaks the contract."""

_NOON = datetime(2026, 11, 26, 12, tzinfo=UTC).replace(tzinfo=None)
_WHOLE = [
    (1, 1),
    ("7", 7),
    (2**31 - 1, 2**31 - 1),
    (0, BAD),
    (-1, BAD),
    (2**31, BAD),
    ("1.5", BAD),
    (True, BAD),
    ("", BAD),
]
_VALUES: dict[str, dict[str, list[tuple[Any, Any]]]] = {
    SHIPMENT.name: {
        "sales_order_id": [(2, 2), (3, 3), (4, 4), *_WHOLE],
        "delivered_at": [
            ("2026-11-26T12:00:00Z", _NOON),
            ("2026-11-26 14:00+02:00", _NOON),
            ("9999-12-31T23:59:59.999999Z", datetime.max.replace(tzinfo=UTC).replace(tzinfo=None)),
            ("2026-11-26T12:00:00", BAD),
            ("0001-01-01T00:00+01:00", BAD),
            ("soon\0", BAD),
        ],
        "units": _WHOLE,
    },
    SALES_TARGET.name: {
        "month": [("2026-11", date(2026, 11, 1)), ("0001-01-01", date.min), ("2026-13", BAD), ("now", BAD)],
        "department": [
            ("Sales", "Sales"),
            (" 李\n\"'; --\\", "李\n\"'; --\\"),
            ("\u2028é😀", "é😀"),
            ("a\0", BAD),
            ("", BAD),
        ],
        "amount_gbp": [
            (5, Decimal(5)),
            ("999999999999.99", Decimal("999999999999.99")),
            ("0.10", Decimal("0.1")),
            ("0.001", BAD),
            ("1000000000000", BAD),
            ("-1", BAD),
            ("NaN", BAD),
        ],
        "decided_on": [("", None), ("yesterday", BAD)],
    },
}
"""Values of each column of a contract, and what is stored of them."""


@dataclass(frozen=True)
class File:
    """A file of a feed.

    Attributes:
        rows: for each row what is to be stored of it, or None if it is to be set aside; None if anybody's guess.
    """

    feed: Feed
    path: str
    content: bytes
    rows: tuple[tuple[Any, ...] | None, ...] | None


@dataclass(frozen=True)
class Size:
    """How large files are, and how many are tried.

    Attributes:
        examples: how many times files are dropped, a few at a time in three steps.
        rows: most rows of a file.
        noise: most bytes of a file that is nothing but noise.
        put: most bytes that damage puts into a file.
        cut: most bytes that damage cuts out of it.
    """

    examples: int
    rows: int
    noise: int
    put: int
    cut: int


QUICK = Size(examples=6, rows=8, noise=200, put=3, cut=3)
THOROUGH = Size(examples=40, rows=400, noise=100_000, put=2_000, cut=2_000)


@st.composite
def _files(draw: st.DrawFn, size: Size) -> File:
    # What is long is made of a number that is drawn: hypothesis draws no more than some thousand values.
    rng = Random(draw(st.integers(0, 2**32)))
    feed = draw(st.sampled_from([SHIPMENT, SALES_TARGET, SHIPMENT, SALES_TARGET, EXCHANGE_RATE]))
    path = draw(st.sampled_from(["a", "b", "c/d.gz"]))
    if feed is EXCHANGE_RATE:
        series = draw(st.lists(st.sampled_from([None, "1", "1.1", "9", "0", "x"]), max_size=5))
        content, rows = rates(draw(st.sampled_from(["USD", "GBP", "EUR"])), date(2026, 11, 2), *series), None
    else:
        columns = _VALUES[feed.name]
        chosen = [tuple(rng.choice(values) for values in columns.values()) for _ in range(draw(_counts(1, size.rows)))]
        written = [dict(zip(columns, (value for value, _ in row), strict=True)) for row in chosen]
        content = draw(st.sampled_from([_lines, _array, _csv]))(written)
        rows = tuple(
            None if any(value is BAD for _, value in row) else tuple(value for _, value in row) for row in chosen
        )
    damage = draw(st.integers(0, 5))
    if damage == 0:
        content, rows = rng.randbytes(draw(_counts(0, size.noise))), None
    elif damage == 1:
        place, put = draw(st.integers(0, len(content))), rng.randbytes(draw(_counts(0, size.put)))
        content, rows = content[:place] + put + content[place + draw(_counts(0, size.cut)) :], None
    if draw(st.booleans()):
        content = gzip.compress(content, mtime=0)
        if damage == 2:
            content, rows = content[: draw(st.integers(1, len(content)))], None
    return File(feed, path, content, rows)


def _counts(least: int, most: int) -> st.SearchStrategy[int]:
    """Counts, of which the small ones are as likely as all the large ones."""
    return st.integers(least, min(most, least + 7)) | st.integers(least, most)


def _lines(rows: list[dict[str, Any]]) -> bytes:
    return "\n".join(map(json.dumps, rows)).encode()


def _array(rows: list[dict[str, Any]]) -> bytes:
    return b"\xef\xbb\xbf" + json.dumps(rows, indent=1, ensure_ascii=False).encode()


def _csv(rows: list[dict[str, Any]]) -> bytes:
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().encode()


class Judge:
    """Knows what was dropped, and says what is wrong with what is shown."""

    def __init__(self, feeding: Feeding) -> None:
        self.feeding = feeding
        self.dropped: dict[tuple[str, str], File] = {}

    def drop(self, file: File) -> None:
        self.feeding.drop(file.feed, file.path, file.content)
        self.dropped[file.feed.name, file.path] = file

    def refresh(self, feed: Feed) -> None:
        """Refresh a feed; every row of every batch is accounted for, and no file is left."""
        done = self.feeding.refresh(feed)
        self._account(done)
        listed = self.feeding.files(feed)
        assert set(listed) == {path for name, path in self.dropped if name == feed.name}
        versions = {version[:-1] for version in self.feeding.versions(feed)}
        quarantined = self.feeding.quarantined(feed)
        newly = {file.path for batch in done.taken for file in batch.files if file.repeats is None}
        for path in newly:
            file, (rows, refused, _) = self.dropped[feed.name, path], listed[path]
            aside = [line for each, line in quarantined if each == path]
            assert refused is None or (refused.endswith(".") and not rows and not aside)
            if file.rows is not None:
                assert (refused, rows) == (None, len(file.rows)), file
                assert len(aside) == sum(row is None for row in file.rows), file
                assert {self._stored(feed, row) for row in file.rows if row} <= versions, file
        assert self.feeding.refresh(feed).taken == []
        reasons = self.feeding.world.ask("select reason from feed_quarantine where feed = %s", feed.name)
        assert all(reason for (reason,) in reasons)

    def _account(self, done: FeedRefreshed) -> None:
        for batch, loaded in zip(done.taken, done.loaded, strict=True):
            counts = loaded.counts()
            # A rate of a row may be missing on purpose, and one that is doubted moves to quarantine later.
            assert counts["staged"] + counts["quarantined"] == sum(file.rows for file in batch.files)
            assert min(counts.values()) >= 0

    @staticmethod
    def _stored(feed: Feed, row: tuple[Any, ...]) -> tuple[Any, ...]:
        return (*row[:2], row[1].date(), *row[2:]) if feed is SHIPMENT else row


@pytest.fixture
def feeding(company: World, tmp_path: Path) -> Feeding:
    return feeding_from(company, (tmp_path / "landing").as_uri())


@pytest.fixture
def judge(feeding: Feeding) -> Judge:
    return Judge(feeding)


def test_whatever_is_dropped_is_shown_exactly_or_set_aside_or_refused_and_all_else_goes_on(
    judge: Judge, pytestconfig: pytest.Config
) -> None:
    size = THOROUGH if pytestconfig.getoption("--all") else QUICK

    @settings(
        max_examples=size.examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(steps=st.lists(st.lists(_files(size), min_size=4, max_size=9), min_size=3, max_size=3))
    def drop(steps: list[list[File]]) -> None:
        _drop(judge, steps)

    drop()


def _drop(judge: Judge, steps: list[list[File]]) -> None:
    for step in steps:
        for file in step:
            judge.drop(file)
        for feed in FEEDS.values():
            judge.refresh(feed)
    feeding, number = judge.feeding, 100 + len(judge.dropped)
    feeding.world.change(f"insert into currency values ({number}, 'SEK', now(), now()) on conflict do nothing")
    feeding.world.refresh()
    before = feeding.shown()
    rebuild(feeding.world.platform)
    assert feeding.shown() == before
    assert feeding.world.wrongs() == []
