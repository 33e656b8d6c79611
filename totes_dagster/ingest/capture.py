"""Which rows a batch must contain: decisions over plain values, from the previous manifest and the tables' censuses.

Decisions rely on `xmin`, the transaction that wrote a row version, and not on `last_updated`. Every row that the
previous snapshot may not have shown was written by a transaction at or past that snapshot's `xmin`, its *horizon*.
`pg_visible_in_snapshot` would be narrower, and wrong: a snapshot does not list the ids of subtransactions.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from totes_dagster.lake.key_ranges import CHECKSUM_MODULUS
from totes_dagster.lake.manifest import Census, Manifest, Snapshot, TableEntry
from totes_dagster.schema.totesys import Capture

_XID_DISTANCE = 2**31
"""`xmin` is a 32-bit id. Which of two is older can only be decided within this distance."""

MANY_KEYS = 10_000
"""To repair more rows than this, a batch takes the whole table."""


@dataclass(frozen=True)
class TableCapture:
    """What a batch takes from one source table.

    Attributes:
        content: the whole table, or only the rows at or past `horizon` and those with one of `keys`.
        horizon: 64-bit transaction id; None if rows are not selected by the transaction that wrote them.
        keys: keys of rows to take, whichever transaction wrote them.
        unique_keys: whether the source guarantees that no two rows share a key.
    """

    content: Capture
    horizon: int | None = None
    keys: tuple[int, ...] = ()
    unique_keys: bool = True

    @property
    def is_whole(self) -> bool:
        """Whether all rows are taken, of whatever a batch says of the content."""
        return self.horizon is None and not self.keys


@dataclass(frozen=True)
class Demand:
    """What a batch must take in addition to what changed.

    Attributes:
        recapture: source tables to take whole, changed or not.
        repair: keys of rows to take, changed or not, by source table. The batch also says which of these keys live.
    """

    recapture: Collection[str] = ()
    repair: Mapping[str, Collection[int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Progression:
    """How a snapshot of the source follows the one of the previous batch.

    Attributes:
        horizon: rows written by this transaction or a later one may be new; None if every row may be new.
        reason: why every row may be new; empty if there is a horizon.
        restarted: whether the source's server was restarted in between.
    """

    horizon: int | None
    reason: str = ""
    restarted: bool = False


def progression_of(previous: Manifest | None, snapshot: Snapshot) -> Progression:
    """Decide how a snapshot follows the one of the previous batch."""
    if previous is None:
        return Progression(None, "This is the first batch.")
    before = previous.census_snapshot
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
            None, f"Too many transactions have passed since batch {previous.batch} to tell older rows from newer ones."
        )
    restarted = before.server_started_at is not None and before.server_started_at != snapshot.server_started_at
    return Progression(before.xmin, restarted=restarted)


@dataclass(frozen=True)
class TableState:
    """A source table in a snapshot, and its entry in the previous batch.

    Attributes:
        capture: how batches capture the table.
        census: the table's census in the snapshot.
        entry: the table in the previous manifest; None if it was not there.
        unique_keys: whether the source guarantees that no two rows share a key.
    """

    capture: Capture
    census: Census
    entry: TableEntry | None
    unique_keys: bool = True


def capture_of_table(
    state: TableState, progression: Progression, *, recapture: bool = False, repair: Collection[int] = ()
) -> TableCapture | None:
    """Decide what a batch takes from a table; None if the table has not changed since the previous batch.

    A table is taken whole when rows that were written long ago may be new to the platform: when it is another table
    under the same name, when its definition changed, or when its keys do not identify its rows, now or before, so that
    its rows have to be judged together. After a restart of the server, every table that changed is taken whole: the
    server's files may have been restored from a backup and have diverged since.

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
    # An equal census is no proof if the log has changed the table in between: what it added may be gone again.
    if census == entry.census and not repair and not entry.logged:
        return None
    if progression.restarted or not (census.keyed and entry.census.keyed):
        return whole
    if state.capture is Capture.WHOLE or len(repair) > MANY_KEYS:
        return whole
    return TableCapture(Capture.CHANGES, progression.horizon, tuple(repair))


def all_keys_remain(before: Census, now: Census, newest_keys: int) -> bool:
    """Whether checksums prove that every earlier key still exists.

    If there are n more keys than before, and all except the n highest have the checksum that all keys had before, then
    no key is gone. The keys may all still exist even if this cannot prove it; the live keys then decide.

    Args:
        before: the table's census in the previous batch.
        now: the table's census now.
        newest_keys: checksum of the highest `now.rows - before.rows` keys; 0 if there are none.
    """
    return now.rows >= before.rows and (now.keys - newest_keys - before.keys) % CHECKSUM_MODULUS == 0
