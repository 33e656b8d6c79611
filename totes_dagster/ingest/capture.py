"""What a batch must hold: decisions over plain values, from the previous manifest and what the source counts.

PostgreSQL's own word decides, not `last_updated`: a row's `xmin` is the transaction that wrote this version of it.
Every row that the previous snapshot may not have shown was written by a transaction at or past that snapshot's `xmin`,
its *horizon*. `pg_visible_in_snapshot` would be narrower, and wrong: a snapshot does not list ids of subtransactions.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from totes_dagster.lake.manifest import Census, Manifest, Snapshot, TableEntry
from totes_dagster.schema.totesys import Capture

_XID_DISTANCE = 2**31
"""`xmin` is a 32-bit id: two of them can only be told apart, older from newer, within this distance."""

CHECKSUM_MODULUS = 2**63
"""Checksums are sums of hashes, modulo this."""

MANY_KEYS = 10_000
"""More rows than this are repaired by taking the whole table."""


@dataclass(frozen=True)
class TableCapture:
    """What a batch takes from one source table.

    Attributes:
        content: the whole table, or the rows at or past `horizon`, and those with `keys`.
        horizon: 64-bit transaction id; None where no row is taken for who wrote it.
        keys: of rows to take whatever wrote them.
        unique_keys: whether the source guarantees that no two rows share a key.
    """

    content: Capture
    horizon: int | None = None
    keys: tuple[int, ...] = ()
    unique_keys: bool = True


@dataclass(frozen=True)
class Demand:
    """What a batch must take besides what changed.

    Attributes:
        recapture: source tables to take whole, changed or not.
        repair: keys of rows to take, changed or not, by source table. The batch also holds the live keys of these
            tables.
    """

    recapture: Collection[str] = ()
    repair: Mapping[str, Collection[int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Progression:
    """How a snapshot of the source follows the one of the previous batch.

    Attributes:
        horizon: the transaction id from which on rows may be new since then; None if every row may be.
        why_everything: why every row may be new; empty where there is a horizon.
        restarted: whether the source's server was started in between.
    """

    horizon: int | None
    why_everything: str = ""
    restarted: bool = False


def progression_of(previous: Manifest | None, snapshot: Snapshot) -> Progression:
    """How a snapshot follows the one of the previous batch."""
    if previous is None:
        return Progression(None, "This is the first batch.")
    before = previous.snapshot
    if not snapshot.same_history(before):
        return Progression(
            None,
            f"The source is not the one that batch {previous.batch} was taken from, but another database, a restored "
            "backup, or a promoted replica.",
        )
    if snapshot.xmax < before.xmin:
        return Progression(None, f"The source is older than batch {previous.batch}: it was restored from a backup.")
    if snapshot.xmax >= before.xmin + _XID_DISTANCE:
        return Progression(
            None, f"Batch {previous.batch} is too many transactions ago to tell older rows from newer ones."
        )
    restarted = before.server_started_at is not None and before.server_started_at != snapshot.server_started_at
    return Progression(before.xmin, restarted=restarted)


@dataclass(frozen=True)
class TableState:
    """A source table in a snapshot, beside what the previous batch said of it.

    Attributes:
        capture: how batches hold the table.
        census: its counts in the snapshot.
        entry: the table in the previous manifest; None where it was not there.
        unique_keys: whether the source guarantees that no two rows share a key.
    """

    capture: Capture
    census: Census
    entry: TableEntry | None
    unique_keys: bool = True


def capture_of_table(
    state: TableState, progression: Progression, *, recapture: bool = False, repair: Collection[int] = ()
) -> TableCapture | None:
    """What a batch takes from a table; None where the table is as the previous batch left it.

    A table of which old rows may be new to us is taken whole: another table under the same name, one whose definition
    changed, and one whose keys do not tell its rows apart, or did not, so that its rows have to be judged together.
    After a restart, what changed is taken whole: the server's files may have been restored meanwhile, and have gone
    another way since.

    Args:
        state: the table.
        progression: how the snapshot follows the previous batch.
        recapture: take the whole table, changed or not.
        repair: keys of rows to take, changed or not.
    """
    whole = TableCapture(Capture.WHOLE, unique_keys=state.unique_keys)
    entry, census = state.entry, state.census
    if entry is None or progression.horizon is None or recapture:
        return whole
    if (census.table_oid, census.columns) != (entry.census.table_oid, entry.census.columns):
        return whole
    if census == entry.census and not repair:
        return None
    if progression.restarted or not (census.keyed and entry.census.keyed):
        return whole
    if state.capture is Capture.WHOLE or len(repair) > MANY_KEYS:
        return whole
    return TableCapture(Capture.CHANGES, progression.horizon, tuple(repair))


def all_keys_remain(before: Census, now: Census, newest_keys: int) -> bool:
    """Whether checksums prove that every key of before is still there.

    If there are n keys more than before, and all but the n highest have the checksum that all keys had before, then
    these are the keys of before. What this cannot prove may still be so; then the live keys decide.

    Args:
        before: the table's counts in the previous batch.
        now: the table's counts now.
        newest_keys: checksum of the highest `now.rows - before.rows` keys, 0 for none.
    """
    return now.rows >= before.rows and (now.keys - newest_keys - before.keys) % CHECKSUM_MODULUS == 0
