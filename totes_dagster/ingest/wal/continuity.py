"""Whether the log has everything that happened since a batch; if not, a census is needed."""

from collections.abc import Iterator

from psycopg import sql

from totes_dagster.ingest.contract import has_unique_keys
from totes_dagster.ingest.snapshot import SourceSnapshot, tables_read
from totes_dagster.ingest.wal.publication import definitions_statement, unpublished
from totes_dagster.ingest.wal.slot import LogUnusableError, Slot, find_slot
from totes_dagster.ingest.wal.transactions import SeenBefore
from totes_dagster.lake.ingested import UNFIT_VALUES
from totes_dagster.lake.manifest import Manifest
from totes_dagster.schema.totesys import SOURCE_TABLES

MOST_TRANSACTIONS = 2**30
"""After so many transactions a census is taken: ids of 32 bits are told apart within twice that distance."""


def breaks_after(newest: Manifest, slot: Slot, snapshot: SourceSnapshot) -> Iterator[str]:
    """Why the log does not tell all that has happened since the newest batch."""
    position, before, now = newest.log, newest.snapshot, snapshot.taken
    if position is None:
        yield f"Batch {newest.batch} does not say where the log continues."
        return
    if not now.same_history(before) or now.server_started_at != before.server_started_at:
        yield f"The source's server was restarted, promoted or replaced since batch {newest.batch}."
    if now.xmax - SeenBefore.parse(0, position.seen).xmax >= MOST_TRANSACTIONS:
        yield "So many transactions have passed since the tables were counted that their ids will be used again."
    if position.slot != slot.name:
        yield f"Batch {newest.batch} was taken for an ingestion zone of another name."
    if slot.position > position.position:
        yield f"The replication slot {slot.name} is past batch {newest.batch}: something has moved it."
    if definitions_of(snapshot) != position.definitions:
        yield f"The definition of a table or of the publication was changed since batch {newest.batch}."
    for name in SOURCE_TABLES:
        entry = newest.tables.get(name)
        if name not in snapshot.catalogue.tables:
            yield f"There is no table {name}."
        elif entry is None or not entry.census.keyed or entry.census.columns != snapshot.catalogue.tables[name].digest:
            yield f"{name} is not as it was in batch {newest.batch}."


def usable_slot(snapshot: SourceSnapshot, name: str) -> Slot:
    """The slot of this name, if it and the publication can be used.

    Raises:
        LogUnusableError: they cannot, or one of them is missing.
    """
    slot = find_slot(snapshot.connection, name)
    if slot is None or slot.obstacle:
        raise LogUnusableError(slot.obstacle if slot else f"There is no replication slot {name}.")
    check_tables(snapshot)
    return slot


def check_tables(snapshot: SourceSnapshot, newest: Manifest | None = None) -> None:
    """Check that the log tells every change of the declared tables.

    Args:
        snapshot: the source.
        newest: the newest batch, whose censuses are to be checked as well.

    Raises:
        LogUnusableError: it does not.
    """
    for name, entry in (newest.tables if newest else {}).items():
        if not entry.census.keyed:
            raise LogUnusableError(f"{name} has keys that the warehouse cannot store.")
    tables = tables_read(snapshot.catalogue)
    for table in tables:
        if not has_unique_keys(snapshot.catalogue, table):
            raise LogUnusableError(f"{table} has no unique keys.")
        if snapshot.catalogue.tables[table].column(UNFIT_VALUES):
            raise LogUnusableError(f"{table} has a column {UNFIT_VALUES}.")
    if reason := unpublished(snapshot.connection, snapshot.catalogue, tables):
        raise LogUnusableError(reason)


def shows_all(snapshot: SourceSnapshot, previous: Manifest | None) -> bool:
    """Whether a snapshot shows all that earlier batches have taken from the log.

    A transaction is in the log before others can see it: a little, or as long as it waits for a synchronous standby.
    """
    if previous is None or previous.log is None or not previous.log.unseen:
        return True
    shown = shown_by(snapshot)
    return all(shown.shows(xid % 2**32) for xid in previous.log.unseen)


def shown_by(snapshot: SourceSnapshot) -> SeenBefore:
    """The transactions that a snapshot shows."""
    ((shown,),) = snapshot.connection.execute("select pg_current_snapshot()::text").fetchall()
    return SeenBefore.parse(0, shown)


def definitions_of(snapshot: SourceSnapshot) -> str:
    """The digest of `definitions_statement` for the declared tables."""
    statement: sql.Composed = definitions_statement(snapshot.catalogue, tables_read(snapshot.catalogue))
    ((digest,),) = snapshot.connection.execute(statement).fetchall()
    return str(digest)
