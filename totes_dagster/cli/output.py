"""How the command line prints results: tables and single lines. What they hold is computed elsewhere."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click
from rich.text import Text

from totes_dagster.doctor import Finding, Health
from totes_dagster.errors import TotesError
from totes_dagster.feed_pipeline import FeedRefreshed
from totes_dagster.pipeline import Reconciled, Refreshed
from totes_dagster.restore_drill import Drilled
from totes_dagster.runtime.terminal import console, show_table
from totes_dagster.status import PlatformStatus
from totes_dagster.warehouse.feed_status import FeedStatus
from totes_dagster.warehouse.loaded import LoadedBatch, LoadedTable
from totes_dagster.warehouse.migrations import HEAD

_RECORD_IDS_RUN_OUT = 0.8
"""The used fraction of a fact's record ids above which `totes status` prints a warning."""


def print_json(value: object) -> None:
    """Print a value as one JSON document, also where all else is quiet."""
    click.echo(json.dumps(value, indent=2, default=datetime.isoformat))


def refreshed_as_json(
    refreshed: Refreshed, feeds: Mapping[str, FeedRefreshed | TotesError], seconds: float
) -> dict[str, Any]:
    """What a refresh did."""
    batch = refreshed.ingested.batch
    return {
        "ingested": None
        if batch is None
        else {"batch": batch.batch, "rows": sum(each.rows for each in refreshed.ingested.batches)},
        "deviations": [str(deviation) for deviation in refreshed.ingested.deviations],
        "loaded": [_loaded_as_json(loaded) for loaded in refreshed.loaded],
        "feeds": {
            name: {"error": type(done).__name__}
            if isinstance(done, TotesError)
            else {"loaded": [{"batch": batch.batch, **batch.counts()} for batch in done.loaded]}
            for name, done in feeds.items()
        },
        "seconds": round(seconds, 3),
    }


def reconciled_as_json(reconciled: Reconciled, seconds: float) -> dict[str, Any]:
    """What a reconciliation found and repaired. Values of rows are left out."""
    return {
        "tables": {
            star: {
                "rows": found.rows,
                "differing": found.count,
                "left": reconciled.left[star].count,
                "unaccounted": list(reconciled.left[star].unaccounted),
            }
            for star, found in reconciled.found.items()
        },
        "repair": reconciled.repair.batch if reconciled.repair else None,
        "loaded": [_loaded_as_json(loaded) for loaded in reconciled.loaded],
        "seconds": round(seconds, 3),
    }


def status_as_json(status: PlatformStatus) -> dict[str, Any]:
    """The state of each stage."""
    warehouse = status.warehouse
    return {
        "is_current": status.is_current,
        "problems": status.problems,
        "changed": status.changed,
        "ingested": {"batch": status.head, "snapshot_at": status.head_taken_at},
        "missing_parts": status.missing,
        "loaded": {"batch": status.newest.batch, "snapshot_at": status.newest.snapshot_at},
        "revision": status.revision,
        "rows": warehouse.rows if warehouse else {},
        "quarantined": {table: found.rows for table, found in (warehouse.quarantined if warehouse else {}).items()},
        "kept_log_bytes": status.kept_log_bytes,
    }


def _loaded_as_json(loaded: LoadedBatch) -> dict[str, Any]:
    tables = {star: table.counts() for star, table in loaded.tables.items() if table != LoadedTable()}
    return {"batch": loaded.batch, "tables": tables}


def show_findings(findings: Iterable[Finding]) -> bool:
    """Print what was looked at, as it is found; return whether there is a problem."""
    has_problem = False
    for finding in findings:
        has_problem |= finding.health is Health.BAD
        style = {Health.GOOD: "green", Health.NOTE: "yellow", Health.BAD: "red"}[finding.health]
        line = Text.assemble((f"{finding.health:<8}", style), (f"{finding.what:<10}", "bold"), finding.text)
        console.print(line, soft_wrap=True)
    return has_problem


def findings_as_json(findings: Sequence[Finding]) -> dict[str, Any]:
    """What was looked at, and whether there is no problem."""
    return {
        "is_healthy": all(finding.health is not Health.BAD for finding in findings),
        "findings": [
            {"what": finding.what, "health": finding.health.value, "text": finding.text} for finding in findings
        ],
    }


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


def show_refreshed_feeds(done: Mapping[str, FeedRefreshed | TotesError], *, say_nothing_new: bool = False) -> None:
    """Print what was done for the feeds that did not fail."""
    for name, result in done.items():
        if isinstance(result, TotesError):
            continue
        counts: Counter[str] = Counter()
        for batch in result.loaded:
            counts.update(batch.counts())
        what = ", ".join(f"{counts[count]:,} {count}" for count in _FEED_COUNTS if counts[count])
        if what or say_nothing_new:
            console.print(f"{name}: {what or 'nothing new'}.", soft_wrap=True)


_FEED_COUNTS = ("files", "refused", "new", "changed", "outdated", "quarantined")


def show_failed_feeds(done: Mapping[str, FeedRefreshed | TotesError]) -> bool:
    """Print why feeds failed, on the standard error; return whether one did."""
    failed = {name: result for name, result in done.items() if isinstance(result, TotesError)}
    for name, error in failed.items():
        click.secho(f"{name}: {type(error).__name__}: {error}", fg="red", err=True)
    return bool(failed)


def feeds_as_json(statuses: Mapping[str, FeedStatus]) -> dict[str, Any]:
    """What the warehouse holds of each feed."""
    return {
        name: {
            "batch": status.batch,
            "taken_at": status.taken_at,
            "files": status.files,
            "refused": status.refused,
            "versions": status.rows,
            "quarantined": status.quarantined,
        }
        for name, status in statuses.items()
    }


def show_feeds(statuses: Mapping[str, FeedStatus]) -> None:
    """Print what the warehouse holds of each feed, and what was refused or set aside."""
    show_table(
        "",
        ("feed", "newest batch", "files", "refused", "versions", "in quarantine"),
        (
            (
                name,
                f"{status.batch} of {_moment(status.taken_at)}" if status.taken_at else "nothing yet",
                f"{status.files:,}",
                f"{status.refused:,}",
                f"{status.rows:,}",
                f"{status.quarantined:,}",
            )
            for name, status in statuses.items()
        ),
    )
    for name, status in statuses.items():
        for path, reason in status.refused_sample:
            console.print(f"{name}/{path} was refused. {reason}", soft_wrap=True, highlight=False)
        for path, line, reason in status.quarantined_sample:
            console.print(f"{name}/{path}, line {line}: {reason}.", soft_wrap=True, highlight=False)


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


def show_drilled(drilled: Drilled) -> None:
    """Print what a drill found, and how long each part of it took."""
    rows = sum(drilled.rows.values())
    console.print(f"The copy had loaded batch {drilled.restored}.", soft_wrap=True)
    console.print(
        f"Loaded what it lacked, up to batch {drilled.newest}. {drilled.catch_up_seconds:.2f} s", soft_wrap=True
    )
    console.print(f"Rebuilt it from the lake: {rows:,} rows. {drilled.rebuild_seconds:.2f} s", soft_wrap=True)
    if drilled.differing:
        console.print(f"Rebuilt, it holds other rows in {', '.join(drilled.differing)}.", soft_wrap=True)
    else:
        console.print("Rebuilt, it holds the same rows.")


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
    if status.kept_log_bytes is not None:
        console.print(f"The source keeps {status.kept_log_bytes / 2**20:,.1f} MB of its log for the platform.")
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
