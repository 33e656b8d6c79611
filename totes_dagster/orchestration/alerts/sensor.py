"""The sensor that looks for incidents and publishes what is to be told of them.

Dagster's own sensor for failed runs moves on when its body raises, so an alert that could not be published would be
lost; nor does it know of incidents and recoveries. This one keeps in its cursor what is open and what is still to be
told: an alert is delayed by an outage of SNS and never lost. It comes twice only where nobody can know that it went
out: when this process dies before it has kept that, or when SNS takes it and its answer is lost.
"""

import time

from dagster import DefaultSensorStatus, SensorEvaluationContext, SkipReason, sensor

from totes_dagster.aws.metrics import Metric, emit
from totes_dagster.errors import one_line
from totes_dagster.orchestration.alerts.incidents import Watch, advance, explained
from totes_dagster.orchestration.alerts.observing import Expectations, look
from totes_dagster.orchestration.alerts.reasons import reason_of, why_failed
from totes_dagster.orchestration.alerts.wording import headline, message_of, summary
from totes_dagster.orchestration.checks.loading import load_specs
from totes_dagster.orchestration.checks.reconciliation import matches_source
from totes_dagster.orchestration.checks.source import contract_specs
from totes_dagster.orchestration.checks.star import sound_before_load
from totes_dagster.orchestration.freshness import FAIL_AFTER
from totes_dagster.orchestration.jobs import reconcile, refresh
from totes_dagster.orchestration.resources.alerts import Alerts
from totes_dagster.orchestration.specs import key_of_loaded
from totes_dagster.schema.registry import STAR_TABLES

AT_ONCE = 10
"""Alerts that one evaluation publishes at most, so that it ends well before Dagster gives up on it."""

FRESH_FOR = FAIL_AFTER
_TABLES = [key_of_loaded(name) for name in STAR_TABLES]
_CHECKS = [
    *(spec.key for spec in (*contract_specs, *load_specs)),
    *sound_before_load.check_keys,
    *matches_source.check_keys,
]
_COVERING = {refresh.name, reconcile.name}


@sensor(
    name="alerts",
    minimum_interval_seconds=15,
    default_status=DefaultSensorStatus.RUNNING,
    description="Tells of runs that fail, of a warehouse that is not fresh and of checks that find an error: once when "
    "it begins, and once when it is over.",
)
def alerts_sensor(context: SensorEvaluationContext, alerts: Alerts) -> SkipReason:
    """Look for incidents, and publish what is to be told."""
    alerts.check()
    before, at = Watch.resumed(context.cursor), time.time()
    if context.cursor and before is None:
        context.log.warning("The cursor cannot be read. Starting over: what is broken now will be told again.")
    found = look(context.instance, before, at, Expectations(_TABLES, FRESH_FOR, _CHECKS, refresh.name))
    watch = advance(before, found, _COVERING)
    watch = explained(watch, lambda run_id: why_failed(context.instance, run_id))
    emit({Metric.OPEN_INCIDENTS: len(watch.open)})
    told, failure = _publish(watch, alerts)
    if failure and not told and before and before.pending == watch.pending:
        # Nothing was told, and nothing is new to be told: the cursor, which a tick that fails cannot move, may stay.
        raise failure
    context.update_cursor(watch.model_copy(update={"pending": watch.pending[len(told) :]}).model_dump_json())
    # Only now: what a tick that fails has found, the next one finds again.
    emit({Metric.FAILED_RUNS: len(_failed(watch) - _failed(before)) if before else 0})
    if failure:
        context.log.error(_named(failure))
    return SkipReason(_said(told, watch, at, failure))


def _failed(watch: Watch) -> set[str]:
    """The runs that were seen to fail."""
    return {run.run_id for run in watch.seen if not run.succeeded}


def _publish(watch: Watch, alerts: Alerts) -> tuple[list[str], Exception | None]:
    """Publish in order; returns what was told, and what went wrong with the next one."""
    told: list[str] = []
    for alert in watch.pending[:AT_ONCE]:
        try:
            alerts.publish(message_of(alert, alerts.link_to))
        except Exception as error:  # whatever it is: what was told before it must not be told again and again
            return told, error
        told.append(headline(alert))
    return told, None


def _named(failure: Exception) -> str:
    return reason_of(f"{type(failure).__name__}: {failure}")


def _said(told: list[str], watch: Watch, at: float, failure: Exception | None) -> str:
    """What the tick says of itself."""
    waiting = len(watch.pending) - len(told)
    words = [one_line(f"Published: {'; '.join(told)}")] if told else []
    if waiting:
        words.append(f"{waiting} alerts wait to be published." if waiting > 1 else "1 alert waits to be published.")
    if failure:
        words.append(_named(failure))
    return " ".join([*words, summary(watch.open, at)])
