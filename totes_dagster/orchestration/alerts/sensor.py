"""The sensor that looks for incidents and publishes alerts about them.

Dagster's own run failure sensor moves on when its body raises, so an alert that could not be published would be lost;
and it knows neither incidents nor recoveries. The cursor of this one holds the open incidents and the alerts that are
still to be published, so an outage of SNS delays alerts but loses none. An alert is published twice only if this
process dies before the cursor is stored, or if SNS accepts the message and its answer is lost.
"""

import time

from dagster import DefaultSensorStatus, SensorEvaluationContext, SkipReason, sensor

from totes_dagster.aws.metrics import Metric, emit
from totes_dagster.errors import one_line
from totes_dagster.feeds.declared import FEEDS
from totes_dagster.orchestration.alerts.incidents import Watch, advance, explained
from totes_dagster.orchestration.alerts.observing import Expectations, observe
from totes_dagster.orchestration.alerts.reasons import reason_of, why_failed
from totes_dagster.orchestration.alerts.wording import headline, message_of, summary
from totes_dagster.orchestration.checks.loading import health_specs
from totes_dagster.orchestration.checks.reconciliation import matches_source
from totes_dagster.orchestration.checks.source import contract_specs
from totes_dagster.orchestration.checks.star import sound_before_load
from totes_dagster.orchestration.feeds.checks import check_specs
from totes_dagster.orchestration.feeds.jobs import job_name
from totes_dagster.orchestration.freshness import FAIL_AFTER
from totes_dagster.orchestration.jobs import reconcile, refresh
from totes_dagster.orchestration.resources.alerts import Alerts
from totes_dagster.orchestration.retention import prune
from totes_dagster.orchestration.specs import key_of_loaded
from totes_dagster.schema.registry import STAR_TABLES

ALERTS_PER_TICK = 10
"""The most alerts that one evaluation publishes, so that it ends well before Dagster's time limit."""

FRESH_FOR = FAIL_AFTER
_TABLES = [key_of_loaded(name) for name in STAR_TABLES]
_CHECKS = [
    *(spec.key for spec in (*contract_specs, *health_specs)),
    *sound_before_load.check_keys,
    *matches_source.check_keys,
    *(spec.key for feed in FEEDS.values() for spec in check_specs(feed)),
]
_JOBS = [refresh.name, reconcile.name, prune.name, *map(job_name, FEEDS.values())]


@sensor(
    name="alerts",
    minimum_interval_seconds=15,
    default_status=DefaultSensorStatus.RUNNING,
    description="Publishes alerts about failed runs of the platform's jobs, a warehouse that is not fresh, and failed "
    "checks: one when an incident opens, and one when it is over.",
)
def alerts_sensor(context: SensorEvaluationContext, alerts: Alerts) -> SkipReason:
    """Look for incidents, and publish alerts."""
    alerts.check()
    before, at = Watch.resumed(context.cursor), time.time()
    if context.cursor and before is None:
        context.log.warning(
            "The cursor cannot be read. Starting over: alerts about what is broken now are published again."
        )
    before = before.limited_to(_JOBS) if before else None
    expected = Expectations(_TABLES, FRESH_FOR, _CHECKS, _JOBS, refresh.name)
    watch = advance(before, observe(context.instance, before, at, expected))
    watch = explained(watch, lambda run_id: why_failed(context.instance, run_id))
    emit({Metric.OPEN_INCIDENTS: len(watch.open)})
    published, failure = _publish(watch, alerts)
    if failure and not published and before and before.pending == watch.pending:
        # A tick that fails cannot move its cursor. Here it need not: nothing was published, and no alert is new.
        raise failure
    context.update_cursor(watch.model_copy(update={"pending": watch.pending[len(published) :]}).model_dump_json())
    # Only now, because the tick after a failed one finds the same runs again.
    emit({Metric.FAILED_RUNS: len(_failed_runs(watch) - _failed_runs(before)) if before else 0})
    if failure:
        context.log.error(_failure_reason(failure))
    return SkipReason(_tick_summary(published, watch, at, failure))


def _failed_runs(watch: Watch) -> set[str]:
    """The ids of the runs that were seen to fail."""
    return {run.run_id for run in watch.seen if not run.succeeded}


def _publish(watch: Watch, alerts: Alerts) -> tuple[list[str], Exception | None]:
    """Publish pending alerts in order; return the headlines of those published, and the next one's error."""
    published: list[str] = []
    for alert in watch.pending[:ALERTS_PER_TICK]:
        try:
            alerts.publish(message_of(alert, alerts.link_to))
        except Exception as error:  # any: otherwise the alerts before it would be published again by every tick
            return published, error
        published.append(headline(alert))
    return published, None


def _failure_reason(failure: Exception) -> str:
    return reason_of(f"{type(failure).__name__}: {failure}")


def _tick_summary(published: list[str], watch: Watch, at: float, failure: Exception | None) -> str:
    """What was published, what still waits and why, and which incidents are open."""
    waiting = len(watch.pending) - len(published)
    sentences = [one_line(f"Published: {'; '.join(published)}")] if published else []
    if waiting:
        sentences.append(f"{waiting} alerts wait to be published." if waiting > 1 else "1 alert waits to be published.")
    if failure:
        sentences.append(_failure_reason(failure))
    return " ".join([*sentences, summary(watch.open, at)])
