"""How long the sensor waits after a refresh that failed: a minute, and twice as long with each further failure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dagster import DagsterInstance, DagsterRunStatus, RunsFilter

from totes_dagster.orchestration.jobs import JOB_TAG, refresh

FIRST_PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(minutes=15)
"""How long to wait before another try; it doubles with each failure."""

_FAILURES_COUNT_FOR = timedelta(hours=1)
"""How long a failure counts, even if a refresh has succeeded since. Otherwise, the pause after a refresh that fails
every other time would never exceed a minute."""

_REFRESHES_READ = 20

BLIND = "totes/blind"
"""Tag of the refreshes that the sensor requested because it could not read the source."""


@dataclass(frozen=True)
class PastRefresh:
    """A refresh that ended.

    Attributes:
        run: the id of its run.
        ended_at: when it ended.
        failed: whether it failed.
        blind: whether the sensor requested it because it could not read the source.
    """

    run: str
    ended_at: datetime
    failed: bool
    blind: bool = False


def next_try(past: Sequence[PastRefresh]) -> datetime:
    """The earliest time to try again after a failure; long past if no failure counts.

    A refresh counts if it failed, or if the sensor requested it blindly, within an hour before the newest of these,
    whether or not others succeeded in between. So refreshes do not follow one another without a pause, neither for an
    intermittent fault nor for one that only the sensor has.

    Args:
        past: refreshes that ended, newest first.
    """
    counted = [refresh for refresh in past if refresh.failed or refresh.blind]
    if not counted:
        return datetime.min.replace(tzinfo=UTC)
    newest = counted[0].ended_at
    count = sum(newest - refresh.ended_at < _FAILURES_COUNT_FOR for refresh in counted)
    return newest + min(FIRST_PAUSE * 2 ** (count - 1), LONGEST_PAUSE)


def past_refreshes(instance: DagsterInstance) -> list[PastRefresh]:
    """The last refreshes that Dagster remembers and that have ended, cancelled ones included, newest first."""
    return past_runs(instance, refresh.name)


def past_runs(instance: DagsterInstance, job: str) -> list[PastRefresh]:
    """The last runs of one of the platform's jobs that have ended, newest first; see `past_refreshes`."""
    records = instance.get_run_records(RunsFilter(tags={JOB_TAG: job}), limit=_REFRESHES_READ)
    return [
        PastRefresh(
            run=record.dagster_run.run_id,
            ended_at=datetime.fromtimestamp(record.end_time or record.update_timestamp.timestamp(), UTC),
            failed=record.dagster_run.status is DagsterRunStatus.FAILURE,
            blind=BLIND in record.dagster_run.tags,
        )
        for record in records
        if record.dagster_run.is_finished
    ]
