"""Which runs are to go: a decision over plain values."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta

from dagster import DagsterRunStatus, DefaultScheduleStatus
from hypothesis import given
from hypothesis import strategies as some

from totes_dagster.definitions import build_defs
from totes_dagster.orchestration.internals.run_history import Run
from totes_dagster.orchestration.retention import ASSETS, PruneConfig, due, prune_hourly

NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)

SUCCESS, FAILURE, CANCELED = DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED
ENDED = (SUCCESS, FAILURE, CANCELED)

CONFIG = PruneConfig(refreshes=3, refresh_days=7, failures=2, failure_days=30, others=4, other_days=90)


def run(run_id: str, days: float, status: DagsterRunStatus = SUCCESS, job: str = "refresh") -> Run:
    """A run that ended so many days ago."""
    return Run(run_id, job, status, NOW - timedelta(days=days))


def removed(*runs: Run, held: str = "", config: PruneConfig = CONFIG) -> str:
    """Ids, of one letter each, of the runs that are to go, the first to go first."""
    return "".join(due(runs, set(held), config, NOW))


def test_the_newest_refreshes_are_kept_and_the_oldest_go_first() -> None:
    assert removed(run("a", 1), run("d", 4), run("b", 2), run("e", 5), run("c", 3)) == "ed"


def test_of_few_refreshes_those_that_are_too_old_go() -> None:
    assert removed(run("a", 6.9), run("b", 7), run("c", 7.1)) == "c"


def test_the_newest_run_of_a_kind_stays_however_old_it_is() -> None:
    assert removed(run("a", 400), run("b", 401)) == "b"
    assert removed(run("a", 400, FAILURE), run("b", 401, FAILURE)) == "b"


def test_failures_are_kept_longer_and_counted_apart() -> None:
    failed = [run("a", 10, FAILURE), run("b", 29, CANCELED)]
    assert removed(*failed, run("c", 1), run("d", 2), run("e", 3)) == ""
    assert removed(*failed, run("c", 29.5, FAILURE)) == "c"
    assert removed(run("a", 10, FAILURE), run("b", 31, CANCELED)) == "b"


def test_jobs_do_not_push_out_each_others_runs() -> None:
    refreshes = [run(name, number, FAILURE) for number, name in enumerate("abcd")]
    assert removed(*refreshes, run("x", 20, FAILURE, "reconcile")) == "dc"


def test_other_jobs_are_kept_for_longest_and_prunes_for_as_long_as_refreshes() -> None:
    for job in ("reconcile", "no longer there"):
        assert removed(run("a", 1, job=job), run("b", 89, job=job), run("c", 91, job=job)) == "c"
        assert removed(*(run(name, number, job=job) for number, name in enumerate("abcde"))) == "e"
    assert removed(*(run(name, number, job="prune") for number, name in enumerate("abcde"))) == "ed"
    assert removed(run("a", 1, job="prune"), run("b", 8, job="prune")) == "b"


def test_runs_in_progress_stay_and_do_not_count() -> None:
    in_progress = [run(status.value, 400, status) for status in DagsterRunStatus if status not in ENDED]
    assert len(in_progress) >= 5
    assert removed(*in_progress, run("a", 1), run("b", 2), run("c", 3), run("d", 4)) == "d"


def test_runs_that_are_held_stay_and_count() -> None:
    assert removed(run("a", 1), run("b", 2), run("c", 3), run("d", 400), held="d") == ""
    assert removed(run("a", 1), run("b", 2), run("c", 3), run("d", 4), held="b") == "d"


def test_the_defaults_keep_what_a_person_looks_at() -> None:
    config = PruneConfig()
    days = {SUCCESS: 7, FAILURE: 30, CANCELED: 30}
    for status, age in days.items():
        assert removed(run("a", 0), run("b", age - 0.1, status), run("c", age + 0.1, status), config=config) == "c"
    many = [run(str(number), number / 3000) for number in range(1_002)]
    assert due(many, set(), config, NOW) == ["1001", "1000"]


runs_of_any_kind = some.lists(
    some.builds(
        Run,
        some.uuids().map(str),
        some.sampled_from(["refresh", "reconcile", "prune"]),
        some.sampled_from(DagsterRunStatus),
        some.floats(0, 200).map(lambda days: NOW - timedelta(days=days)),
    ),
    max_size=40,
)


@given(runs_of_any_kind, some.sets(some.integers(0, 39)))
def test_what_stays_is_within_its_limits_and_nothing_more_is_due(runs: list[Run], holding: set[int]) -> None:
    held = {run.run_id for number, run in enumerate(runs) if number in holding}
    going = due(runs, held, CONFIG, NOW)
    assert len(set(going)) == len(going)
    staying = [run for run in runs if run.run_id not in going]
    assert due(staying, held, CONFIG, NOW) == []
    kinds = defaultdict(list)
    for stays in staying:
        if stays.status in ENDED and stays.run_id not in held:
            kinds[stays.job, stays.status is SUCCESS].append(stays.updated_at)
    for (job, success), ends in kinds.items():
        limit = CONFIG.limit(job, success=success)
        assert len(ends) <= limit.runs
        assert all(NOW - end <= timedelta(days=limit.days) for end in ends if end != max(ends))
    ended = {run.run_id for run in runs if run.status in ENDED}
    assert set(going) <= ended - held


def test_the_launchpad_shows_what_is_kept() -> None:
    config = build_defs().resolve_job_def("prune").run_config
    assert config is not None
    shown = config["ops"]["prune_history"]["config"]
    assert (shown["refreshes"], shown["refresh_days"], shown["failure_days"], shown["minutes"]) == (1_000, 7, 30, 10)


def test_prunes_are_hourly_from_the_start() -> None:
    assert (prune_hourly.job_name, prune_hourly.cron_schedule) == ("prune", "7 * * * *")
    assert prune_hourly.default_status is DefaultScheduleStatus.RUNNING


def test_the_assets_whose_events_are_removed_are_all_of_the_platforms() -> None:
    assert set(ASSETS) == build_defs().resolve_asset_graph().get_all_asset_keys()
