"""How the command line prints results: tables and single lines. What they hold is computed elsewhere."""

from collections import Counter
from datetime import UTC, datetime

from totes_dagster.pipeline import Reconciled, Refreshed
from totes_dagster.runtime.terminal import console, show_table
from totes_dagster.status import PlatformStatus
from totes_dagster.warehouse.migrations import HEAD

_RECORD_IDS_RUN_OUT = 0.8
"""The used fraction of a fact's record ids above which `totes status` prints a warning."""


def summary(refreshed: Refreshed) -> str:
    """What a refresh did, in one line."""
    loaded = refreshed.loaded
    if not loaded:
        return "Nothing changed."
    counts: Counter[str] = Counter()
    for batch in loaded:
        for table in batch.tables.values():
            counts.update(new=table.new, changed=table.changed, deleted=table.deleted)
            counts.update(placeholders=table.placeholders, quarantined=table.quarantined)
    first, last = loaded[0].batch, loaded[-1].batch
    batches = f"batch {last}" if first == last else f"batches {first} to {last}"
    what = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
    return f"Loaded {batches}: {what or 'nothing that the warehouse did not show already'}."


def show_reconciled(reconciled: Reconciled) -> None:
    """Print what a reconciliation found and repaired."""
    rows = sum(table.rows for table in reconciled.found.values())
    differing = {star: table for star, table in reconciled.found.items() if table}
    for star, table in differing.items():
        for sample in table.samples:
            console.print(f"{star}: {sample}", soft_wrap=True)
    for table in reconciled.left.values():
        for line in table.unaccounted:
            console.print(f"History cannot be repaired from the source: {line}.", soft_wrap=True)
    if not differing:
        console.print(f"The warehouse equals the source: {rows:,} rows compared.")
        return
    count = sum(table.count for table in differing.values())
    left = sum(table.count for table in reconciled.left.values())
    what = f"{count:,} of {rows:,} rows differed, in {', '.join(differing)}"
    done = f"repaired by batch {reconciled.repair.batch}" if reconciled.repair else "repaired"
    console.print(f"{what}; {f'{left:,} still do' if left else done}.", soft_wrap=True)


def show_status(status: PlatformStatus) -> None:
    """Print the state of each stage."""
    loaded, shown = status.newest.batch, status.newest.snapshot_at
    nothing = "nothing yet"
    taken = status.head_taken_at
    show_table(
        "",
        ("stage", "state", "to do"),
        (
            ("totesys", "now", f"capture {', '.join(status.changed)}" if status.changed else ""),
            ("ingestion", f"batch {status.head} of {_moment(taken)}" if taken else nothing, ""),
            (
                "processed",
                nothing if not status.head else "incomplete" if status.missing else "complete",
                ", ".join(f"{count} parts of {star}" for star, count in status.missing.items()),
            ),
            (
                "warehouse",
                f"batch {loaded} of {_moment(shown)}" if shown else nothing,
                ", ".join(
                    to_do
                    for to_do in (
                        f"migrate from revision {status.revision}" if shown and status.revision != HEAD else "",
                        f"load {status.head - loaded} batches" if status.head > loaded else "",
                    )
                    if to_do
                ),
            ),
        ),
    )
    warehouse = status.warehouse
    quarantined = {table: found.rows for table, found in (warehouse.quarantined if warehouse else {}).items()}
    if quarantined:
        what = ", ".join(f"{rows:,} of {table}" for table, rows in quarantined.items())
        console.print(f"Rows in quarantine: {what}. The warehouse's table quarantine gives the reasons.")
    for fact, part in (warehouse.record_ids_used if warehouse else {}).items():
        if part > _RECORD_IDS_RUN_OUT:
            console.print(f"{fact}: {part:.0%} of its record ids are used up; raise its sequence's maximum.")
    if shown and status.revision != HEAD:
        console.print(f"The warehouse is at revision {status.revision}; the next refresh migrates it to {HEAD}.")
    elif status.is_current:
        console.print("The warehouse shows the source as it is now.")
    elif shown:
        lag = datetime.now(UTC) - shown
        console.print(
            f"The warehouse shows the source as it was {lag.total_seconds():,.0f} s ago. Run `totes refresh`."
        )
    else:
        console.print("The warehouse is empty. Run `totes refresh`.")


def _moment(when: datetime) -> str:
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
