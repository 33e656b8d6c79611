"""Transactions of the log: which are taken, and how they are put together to batches."""

import struct
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from totes_dagster.ingest.wal import transactions as wal
from totes_dagster.ingest.wal.pgoutput import Begin, Change, Commit, Relation, Truncate, message_of
from totes_dagster.ingest.wal.slot import LogUnusableError
from totes_dagster.ingest.wal.transactions import (
    Changes,
    LoggedTable,
    SeenBefore,
    Version,
    batches,
    full_xid,
    transactions,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
BAG = LoggedTable("bag", ("bag_id", "colour"), 0)
NONE_SEEN = SeenBefore(0, 1, 1, frozenset())


def changes(position: int, rows: dict[int, str | None]) -> Changes:
    versions = {key: Version(None if value is None else (str(key), value), NOON) for key, value in rows.items()}
    return Changes(position, NOON, {"bag": versions}, [position])


@given(st.integers(3, 2**40), st.integers(-(2**31) + 1, 2**31 - 1))
def test_an_id_is_the_nearest_with_its_lower_bits(near: int, distance: int) -> None:
    assert full_xid((near + distance) % 2**32, near) == near + distance


@given(st.lists(st.dictionaries(st.integers(1, 4), st.sampled_from(["red", "blue", None]), min_size=1), max_size=12))
def test_batches_keep_every_version_in_its_order_and_none_has_a_row_twice(lives: list[dict[int, str | None]]) -> None:
    singles = [changes(number, rows) for number, rows in enumerate(lives, 1)]
    expected = [(key, version) for single in singles for key, version in single.versions["bag"].items()]
    made = list(batches(changes(number, rows) for number, rows in enumerate(lives, 1)))
    found = [(key, version) for batch in made for key, version in batch.versions["bag"].items()]
    for number in range(1, 5):
        assert [each for each in found if each[0] == number] == [each for each in expected if each[0] == number]
    assert sorted(xid for batch in made for xid in batch.xids) == list(range(1, len(lives) + 1))
    # As few as possible: each batch ends because the next transaction has one of its rows.
    for batch, following in pairwise(made):
        first = next(single for single in singles if single.position == min(following.xids))
        assert batch.has_any_of(first.versions)


def test_what_comes_before_a_log_that_cannot_be_used_is_not_lost() -> None:
    def ending() -> Any:
        yield changes(1, {1: "red"})
        raise LogUnusableError("no more")

    coming = batches(ending())
    assert next(coming).position == 1
    with pytest.raises(LogUnusableError, match="no more"):
        next(coming)


def read(*messages: Any, seen: SeenBefore = NONE_SEEN) -> list[Changes]:
    whole = [Begin(10, NOON, 5), Relation(7, BAG.columns), *messages, Commit(20)]
    return list(transactions(whole, {7: BAG}, seen))


def test_the_last_version_that_a_transaction_makes_of_a_row_counts() -> None:
    (found,) = read(
        Change(7, None, ("1", "red")),
        Change(7, None, ("1", "blue")),
        Change(7, ("2", None), None),
        Change(7, ("3", None), ("4", "green")),
        Change(8, None, ("1", "of another table")),
    )
    assert found == Changes(
        20,
        NOON,
        {
            "bag": {
                1: Version(("1", "blue"), NOON),
                2: Version(None, NOON),
                3: Version(None, NOON),
                4: Version(("4", "green"), NOON),
            }
        },
        [5],
    )


@pytest.mark.parametrize(
    "seen",
    [
        SeenBefore(11, 1, 1, frozenset()),
        SeenBefore(0, 6, 6, frozenset()),
        SeenBefore(0, 5, 9, frozenset({6})),
    ],
    ids=["before the position", "ended before the snapshot", "not running in it"],
)
def test_what_earlier_batches_contain_is_passed_over(seen: SeenBefore) -> None:
    assert read(Change(7, None, ("1", "red")), seen=seen) == []


@pytest.mark.parametrize("seen", [SeenBefore.parse(10, "5:5:"), SeenBefore.parse(10, "3:9:4,5")])
def test_what_they_do_not_contain_is_taken(seen: SeenBefore) -> None:
    assert len(read(Change(7, None, ("1", "red")), seen=seen)) == 1


REFUSED: dict[str, Any] = {
    "was truncated": Truncate((7,)),
    "without a key that the warehouse can store": Change(7, None, (str(2**31), "red")),
    "does not have the columns of bag": Relation(7, ("bag_id", "color")),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_the_log_does_not_tell_is_refused(reason: str) -> None:
    with pytest.raises(LogUnusableError, match=reason):
        read(REFUSED[reason], Change(7, None, ("1", "red")))


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wal, "MOST_CHANGES", 2)
    with pytest.raises(LogUnusableError, match="more than 2 rows"):
        read(*(Change(7, None, (str(number), "red")) for number in range(3)))
    assert len(list(batches(changes(number, {number: "red"}) for number in range(1, 6)))) == 3


def test_only_messages_of_the_protocol_are_read() -> None:
    assert message_of(b"O" + bytes(9)) is None
    assert message_of(b"C\0" + struct.pack(">QQQ", 1, 2, 3)) == Commit(2)
    with pytest.raises(ValueError, match="begins with b'S'"):
        message_of(b"S" + bytes(9))


def tuple_of(*values: str | None) -> bytes:
    """A row as `pgoutput` writes it; `...` stands for a value that did not change."""
    written = [
        b"n" if value is None else b"u" if value == "..." else b"t" + struct.pack(">I", len(value)) + value.encode()
        for value in values
    ]
    return struct.pack(">H", len(values)) + b"".join(written)


@pytest.mark.parametrize("kind", ["K", "O"])
def test_an_unchanged_value_is_taken_from_a_whole_old_row_and_from_no_key(kind: str) -> None:
    old = tuple_of("1", "red" if kind == "O" else None)
    message = message_of(b"U" + struct.pack(">I", 7) + kind.encode() + old + b"N" + tuple_of("2", "..."))
    assert isinstance(message, Change)
    if kind == "O":
        (found,) = read(message)
        assert found.versions["bag"] == {1: Version(None, NOON), 2: Version(("2", "red"), NOON)}
    else:
        with pytest.raises(LogUnusableError, match="lacks long values of bag"):
            read(message)
    # What the same transaction has written before, the log has.
    (found,) = read(Change(7, None, ("1", "blue")), message)
    assert found.versions["bag"][2] == Version(("2", "red" if kind == "O" else "blue"), NOON)
