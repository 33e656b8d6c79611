"""The sensor that watches the source: when it requests a refresh, and when it confirms the warehouse without one.

The pauses after failures are in `pauses.py`, the schedules behind it in `schedules.py`, the alerts in `alerts/`.
"""

import time
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from dagster import (
    DagsterInstance,
    DefaultSensorStatus,
    ResourceParam,
    RunRequest,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,
)
from psycopg.errors import QueryCanceled

from totes_dagster.errors import (
    ConnectTimeoutError,
    DatabaseBusyError,
    DatabaseUnavailableError,
    HostUnknownError,
    LakeUnavailableError,
    NothingHereError,
    PortClosedError,
    TotesError,
)
from totes_dagster.ingest.run import changed_tables, log_is_behind
from totes_dagster.ingest.watch import watching
from totes_dagster.lake.batch_log import BatchLog
from totes_dagster.orchestration.io_managers.ingestion import IngestionIOManager
from totes_dagster.orchestration.jobs import (
    CHANGED,
    allowance,
    assets_affected_by,
    changes_tag,
    checks_affected_by,
    reconcile,
    refresh,
    run_in_progress,
)
from totes_dagster.orchestration.pauses import BLIND, next_try, past_refreshes
from totes_dagster.orchestration.recorded import (
    confirmations,
    due,
    known_until,
    recorded_loads,
    versions_of,
)
from totes_dagster.orchestration.resources.databases import TotesysResource, WarehouseResource
from totes_dagster.postgres.database import Database
from totes_dagster.warehouse.status import last_changes

_POLL_SECONDS = 0.1
LOOK_FOR = 9.0
"""Seconds that one evaluation of the sensor watches. Dagster's own daemon starts evaluations every 5 s at best, that of
`totes dev` twice a second; both stop one after 60 s."""

ASK_EVERY = 0.25
"""Seconds between two checks whether a run is still in progress."""

_REST_FACTOR = 10
"""After the tables were counted, how many times as long as that took to wait before counting them again."""

_LOOK_AT_MOST = 40
"""Seconds that counting the tables may take in an evaluation, which ends after 60 s. Larger sources are refreshed by
the schedule, unless their log tells what changed."""

_count_not_before = [0.0]
"""When this process may count again, after it took too long."""

_UNAVAILABLE = (
    ConnectTimeoutError,
    DatabaseBusyError,
    DatabaseUnavailableError,
    HostUnknownError,
    LakeUnavailableError,
    NothingHereError,
    PortClosedError,
)
"""Errors that end when a server is available again. Until then, a refresh would fail with them, too."""


_TOO_LARGE = (
    f"Counting the source's tables takes longer than {_LOOK_AT_MOST} s, too long for this sensor. The schedule "
    "refreshes every 15 minutes. With TOTES_CAPTURE=log, nothing has to be counted."
)


@sensor(
    job=refresh,
    minimum_interval_seconds=1,
    default_status=DefaultSensorStatus.RUNNING,
    description="Watches totesys, and requests a refresh of the affected tables within a fraction of a second after a "
    "commit that changed one. While nothing changes, confirms every ten minutes that the warehouse is current.",
)
def totesys_changes(
    context: SensorEvaluationContext,
    totesys: TotesysResource,
    warehouse: WarehouseResource,
    ingestion_zone: ResourceParam[IngestionIOManager],
) -> Any:
    """Request a refresh as soon as the source's next batch would not be empty."""
    end = time.monotonic() + LOOK_FOR
    reason = _wait_for_runs(context.instance, end) or _rests_from_counting(from_log=totesys.from_log)
    if reason:
        return SkipReason(reason)
    past, now = past_refreshes(context.instance), datetime.now(UTC)
    failed = past[0] if past and past[0].failed else None
    again_at = next_try(past)
    if failed and now < again_at:
        return SkipReason(
            f"The last refresh failed at {_moment(failed.ended_at)} (run {failed.run[:8]}). "
            f"Trying again at {_moment(again_at)}."
        )
    try:
        source, ingestion = totesys.database(create=False), ingestion_zone.zone
        look = partial(changed_tables, source, ingestion, from_log=totesys.from_log, limit=f"{_LOOK_AT_MOST}s")
        with watching(source) as position:
            if failed:
                return _request(["unknown, because the last refresh failed"], into=ingestion_zone)
            # The cursor only saves counting the tables again as long as nothing was written in the whole cluster.
            changed = _wait_for_change(position, look, context.cursor, end)
        if isinstance(changed, list):
            return _request(changed, tables=changed, into=ingestion_zone)
        context.update_cursor(changed)
        return _confirm(context.instance, source, ingestion_zone, warehouse, look)
    except TotesError as error:
        return _in_spite_of(error, again_at)


def _rests_from_counting(*, from_log: bool) -> str | None:
    """Why the source is not counted now; None if it may be, or does not have to be."""
    return _TOO_LARGE if not from_log and time.monotonic() < _count_not_before[0] else None


def _in_spite_of(error: TotesError, again_at: datetime) -> RunRequest | SkipReason:
    """What to do when the source or the ingestion zone cannot be read."""
    if error.facts.get("sqlstate") == QueryCanceled.sqlstate:
        _count_not_before[0] = time.monotonic() + _REST_FACTOR * _LOOK_AT_MOST
        return SkipReason(_TOO_LARGE)
    if isinstance(error, NothingHereError):
        return _request(["nothing yet, because there is no company; the refresh creates one"])
    if isinstance(error, _UNAVAILABLE):
        return SkipReason(f"{error} The sensor tries again in a few seconds.")
    # It lasts until it is corrected. A refresh usually fails with the same error, and failed runs raise alerts. But if
    # only this process has the error, refreshes succeed, and the sensor would request one after the other.
    if datetime.now(UTC) < again_at:
        return SkipReason(f"{error} The next refresh is requested at {_moment(again_at)}.")
    return _request([type(error).__name__], blind=True)


def _request(
    changed: Sequence[str],
    *,
    tables: Collection[str] = (),
    blind: bool = False,
    into: IngestionIOManager | None = None,
) -> RunRequest:
    """Request a refresh.

    Args:
        changed: why, for the run's tag: tables that changed, or another reason.
        tables: the source tables that are affected, if nothing else is; every table otherwise.
        blind: whether the source could not be read.
        into: the ingestion zone, whose newest batch says how long the run may take.
    """
    tags = {CHANGED: changes_tag(changed), **({BLIND: "true"} if blind else {}), **(allowance(into) if into else {})}
    if not tables:
        return RunRequest(tags=tags)
    return RunRequest(
        tags=tags, asset_selection=assets_affected_by(tables), asset_check_keys=checks_affected_by(tables)
    )


def _confirm(
    instance: DagsterInstance,
    source: Database,
    ingestion_zone: IngestionIOManager,
    warehouse: WarehouseResource,
    look: Callable[..., list[str]],
) -> RunRequest | SensorResult | SkipReason:
    """While nothing changes, confirm the warehouse's tables when they are due; request a refresh if they are behind.

    Without a run, a confirmation costs one event for each table.
    """
    recorded, now = recorded_loads(instance), datetime.now(UTC)
    tables = due(recorded, now)
    if not tables:
        confirmed = min(each.at for each in recorded.values())
        return SkipReason(f"Nothing changed in totesys. The warehouse was confirmed at {_moment(confirmed)}.")
    # Counted again, and undeclared tables too: this does not rest on the position alone.
    ingestion = ingestion_zone.zone
    if changed := look(undeclared_too=True):
        return _request(changed, into=ingestion_zone)
    if log_is_behind(source, ingestion):
        return _request(["nothing, but the source keeps its log until a refresh has read it"], into=ingestion_zone)
    try:
        newest, changes = last_changes(warehouse.warehouse(), known_until(recorded))
    except TotesError as error:
        return _request([type(error).__name__])  # the refresh will fail with it, and say so
    if not newest.batch or newest.batch != BatchLog(ingestion).head():
        return _request(["nothing, but batches wait to be loaded"], into=ingestion_zone)
    rows = {star: each.rows for star, each in recorded.items()}
    return SensorResult(
        skip_reason=f"Nothing changed in totesys. The warehouse shows batch {newest.batch}, the newest one.",
        asset_events=confirmations(tables, newest, versions_of(recorded, changes), rows),
    )


def _moment(when: datetime) -> str:
    return f"{when:%H:%M:%S} UTC"


def _wait_for_runs(instance: DagsterInstance, end: float) -> str | None:
    """Wait until no run is in progress, so that changes in the meantime are seen at once, not five seconds later.

    Returns:
        A sentence about the run that is still in progress at the end; None if there is none.
    """
    while reason := run_in_progress(instance, refresh.name, reconcile.name):
        if time.monotonic() >= end:
            return reason
        time.sleep(ASK_EVERY)
    return None


def _wait_for_change(
    position: Callable[[], str], changed: Callable[[], list[str]], seen: str | None, end: float
) -> list[str] | str:
    """Watch until tables change, and return them; if none has changed at the end, return the last position.

    Counting the tables takes at most a tenth of the time, however busy the source's cluster is.
    """
    count_at = 0.0
    while True:
        now, started = position(), time.monotonic()
        if now != seen and started >= count_at:
            tables = changed()
            if tables:
                return tables
            seen = now
            count_at = time.monotonic() + _REST_FACTOR * (time.monotonic() - started)
        if time.monotonic() >= end:
            return seen or ""
        time.sleep(_POLL_SECONDS)
