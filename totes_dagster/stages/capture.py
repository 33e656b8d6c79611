"""What a batch must hold: decisions over plain values, from the previous manifest and what the source counts.

PostgreSQL's own word decides, not `last_updated`: a row's `xmin` is the transaction that wrote this version of it.
Every row that the previous snapshot may not have shown was written by a transaction at or past that snapshot's `xmin`,
its *horizon*. `pg_visible_in_snapshot` would be narrower, and wrong: a snapshot does not list ids of subtransactions.
"""

from dataclasses import dataclass

from totes_dagster.lake.manifest import Census, Manifest, Snapshot, TableEntry
from totes_dagster.schema.totesys import Capture

_XID_DISTANCE = 2**31
"""`xmin` is a 32-bit id: two of them can only be told apart, older from newer, within this distance."""


@dataclass(frozen=True)
class TableCapture:
    """What a batch takes from one source table.

    Attributes:
        content: the whole table, or the rows at or past `horizon`.
        horizon: 64-bit transaction id; None with the whole table.
    """

    content: Capture
    horizon: int | None = None


def horizon_of(previous: Manifest | None, snapshot: Snapshot) -> int | None:
    """The transaction id from which on rows may be new since the previous batch; None if every row may be.

    Every row may be new at the first batch, when the previous batch was taken from another history of the database (a
    restored backup, a promoted replica, another cluster), and when it is too long ago for 32-bit ids.
    """
    if previous is None or not snapshot.same_history(previous.snapshot):
        return None
    horizon = previous.snapshot.xmin
    if not horizon <= snapshot.xmax < horizon + _XID_DISTANCE:
        return None
    return horizon


def capture_of_table(
    capture: Capture, entry: TableEntry | None, census: Census, horizon: int | None, *, recapture: bool
) -> TableCapture | None:
    """What a batch takes from a table; None where the table is as the previous batch left it.

    Args:
        capture: how batches hold this table.
        entry: the table in the previous manifest.
        census: the table's counts now. Another table under the name is taken whole: its rows may be old ones.
        horizon: see `horizon_of`.
        recapture: take the whole table, changed or not.
    """
    if entry is None or horizon is None or recapture or census.table_oid != entry.census.table_oid:
        return TableCapture(Capture.WHOLE)
    if census == entry.census:
        return None
    if capture is Capture.WHOLE:
        return TableCapture(Capture.WHOLE)
    return TableCapture(Capture.CHANGES, horizon)


def none_gone(before: Census, now: Census, newest_keys: int) -> bool:
    """Whether checksums prove that every key of before is still there.

    If there are n keys more than before, and all but the n highest have the checksum that all keys had before, then
    these are the keys of before. What this cannot prove may still be so; then the live keys decide.

    Args:
        before: the table's counts in the previous batch.
        now: the table's counts now.
        newest_keys: checksum of the highest `now.rows - before.rows` keys, 0 for none.
    """
    return now.rows >= before.rows and now.keys ^ newest_keys == before.keys
