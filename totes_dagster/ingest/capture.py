"""What a batch must hold: decisions over plain values, from the previous manifest and what the source counts.

PostgreSQL's own word decides, not `last_updated`: a row's `xmin` is the transaction that wrote this version of it.
Every row that the previous snapshot may not have shown was written by a transaction at or past that snapshot's `xmin`,
its *horizon*. `pg_visible_in_snapshot` would be narrower, and wrong: a snapshot does not list ids of subtransactions.
"""

from collections.abc import Collection
from dataclasses import dataclass

from totes_dagster.lake.manifest import Census, Manifest, Snapshot, TableEntry
from totes_dagster.schema.totesys import Capture

_XID_DISTANCE = 2**31
"""`xmin` is a 32-bit id: two of them can only be told apart, older from newer, within this distance."""

CHECKSUM_MODULUS = 2**63
"""Checksums are sums of hashes, modulo this."""

_MANY_KEYS = 10_000
"""More rows than this are repaired by taking the whole table."""


@dataclass(frozen=True)
class TableCapture:
    """What a batch takes from one source table.

    Attributes:
        content: the whole table, or the rows at or past `horizon`, and those with `keys`.
        horizon: 64-bit transaction id; None where no row is taken for who wrote it.
        keys: of rows to take whatever wrote them.
        unique_keys: whether the source sees to it that no two rows share a key.
    """

    content: Capture
    horizon: int | None = None
    keys: tuple[int, ...] = ()
    unique_keys: bool = True


def horizon_of(previous: Manifest | None, snapshot: Snapshot) -> tuple[int | None, str]:
    """The transaction id from which on rows may be new since the previous batch; None if every row may be, and why."""
    if previous is None:
        return None, "This is the first batch."
    before = previous.snapshot
    if not snapshot.same_history(before):
        return None, (
            f"The source is not the one that batch {previous.batch} was taken from, but another database, a restored "
            "backup, or a promoted replica."
        )
    if snapshot.xmax < before.xmin:
        return None, f"The source is older than batch {previous.batch}: it was restored from a backup."
    if snapshot.xmax >= before.xmin + _XID_DISTANCE:
        return None, f"Batch {previous.batch} is too many transactions ago to tell older rows from newer ones."
    return before.xmin, ""


def was_restarted(before: Snapshot, now: Snapshot) -> bool:
    """Whether the source's server was started between two snapshots."""
    return before.server_started_at is not None and before.server_started_at != now.server_started_at


def capture_of_table(
    capture: Capture,
    entry: TableEntry | None,
    census: Census,
    horizon: int | None,
    *,
    recapture: bool = False,
    restarted: bool = False,
    repair: Collection[int] = (),
    unique_keys: bool = True,
) -> TableCapture | None:
    """What a batch takes from a table; None where the table is as the previous batch left it.

    Args:
        capture: how batches hold this table.
        entry: the table in the previous manifest.
        census: the table's counts now. Another table under the name, or one whose columns changed, is taken whole: its
            rows may be old ones. So is one whose keys do not tell its rows apart, or did not: its rows are judged
            together.
        horizon: see `horizon_of`.
        recapture: take the whole table, changed or not.
        restarted: whether the source's server was started since. Its files may have been put back meanwhile, and gone
            another way, so what changed is taken whole.
        repair: keys of rows to take, changed or not.
        unique_keys: whether the source sees to it that no two rows share a key.
    """
    whole = TableCapture(Capture.WHOLE, unique_keys=unique_keys)
    if entry is None or horizon is None or recapture:
        return whole
    if (census.table_oid, census.columns) != (entry.census.table_oid, entry.census.columns):
        return whole
    if census == entry.census and not repair:
        return None
    if restarted or not (census.keyed and entry.census.keyed):
        return whole
    if capture is Capture.WHOLE or len(repair) > _MANY_KEYS:
        return whole
    return TableCapture(Capture.CHANGES, horizon, tuple(repair))


def none_gone(before: Census, now: Census, newest_keys: int) -> bool:
    """Whether checksums prove that every key of before is still there.

    If there are n keys more than before, and all but the n highest have the checksum that all keys had before, then
    these are the keys of before. What this cannot prove may still be so; then the live keys decide.

    Args:
        before: the table's counts in the previous batch.
        now: the table's counts now.
        newest_keys: checksum of the highest `now.rows - before.rows` keys, 0 for none.
    """
    return now.rows >= before.rows and (now.keys - newest_keys - before.keys) % CHECKSUM_MODULUS == 0
