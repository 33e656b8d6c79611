"""Which incidents open and close, whatever the runs do and whenever somebody looks."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from totes_dagster.orchestration.alerts.incidents import (
    LOOK_BACK,
    MAX_PENDING,
    OVERLAP,
    Alert,
    Ended,
    Incident,
    Kind,
    Observation,
    Watch,
    advance,
    explained,
    reads_from,
    stale_tables,
)

START = 1_700_000_000.0
JOBS = ("refresh", "reconcile", "prune")
FRESHNESS = (Kind.FRESHNESS, "warehouse")
STALE = Incident(kind=Kind.FRESHNESS, subject="warehouse", since=START, why="fact_payment: never loaded.")

Outcome = tuple[str, bool]


def run(number: int, outcome: Outcome, at: float) -> Ended:
    return Ended(run_id=f"run-{number}", job=outcome[0], succeeded=outcome[1], at=START + at)


def history_of(outcomes: Sequence[Outcome], pauses: Sequence[int]) -> list[Ended]:
    """Runs that ended one after the other, or at the very same moment."""
    moments = [sum(pauses[: number + 1]) for number in range(len(outcomes))]
    return [run(number, outcome, at) for number, (outcome, at) in enumerate(zip(outcomes, moments, strict=True))]


def followed(ticks: Iterable[tuple[float, Sequence[Ended]]], watch: Watch | None) -> tuple[Watch, list[Alert]]:
    """Looks at these moments, of which each sees all that ended since the moment from which it has to read."""
    told: list[Alert] = []
    for at, visible in ticks:
        since = reads_from(watch, at)
        watch = advance(watch, Observation(at, [ended for ended in visible if ended.at >= since]))
        told += watch.pending
        # As the sensor keeps it, and with everything published.
        watch = Watch.resumed(watch.model_copy(update={"pending": ()}).model_dump_json())
        assert watch is not None
    assert watch is not None
    return watch, told


def begun() -> Watch:
    return Watch(read_until=START)


def signs(told: Iterable[Alert]) -> list[tuple[str, str, str]]:
    """Alerts without what they say."""
    return [(alert.incident.subject, alert.state, alert.incident.run_id) for alert in told]


outcomes = st.tuples(st.sampled_from(JOBS), st.booleans())


@st.composite
def histories(draw: st.DrawFn) -> list[Ended]:
    happened = draw(st.lists(outcomes, max_size=25))
    # Among the pauses are none at all, and some that are longer than the looks overlap.
    size = len(happened)
    pauses = draw(st.lists(st.sampled_from([0, 1, 20, 400]), min_size=size, max_size=size))
    return history_of(happened, pauses)


@given(history=histories(), data=st.data())
def test_the_alerts_do_not_depend_on_when_somebody_looks(history: list[Ended], data: st.DataObject) -> None:
    end = history[-1].at + 1 if history else START + 1
    cuts = sorted(data.draw(st.lists(st.integers(0, len(history)), max_size=8)))
    looks = [(history[cut - 1].at + 0.5 if cut else START, history[:cut]) for cut in cuts]
    watch, told = followed([*looks, (end, history)], begun())
    at_once, told_at_once = followed([(end, history)], begun())
    assert (told, watch.open) == (told_at_once, at_once.open)


@given(history=histories(), data=st.data())
def test_openings_and_recoveries_alternate_and_each_streak_of_failures_is_one(
    history: list[Ended], data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(history)), max_size=8)))
    looks = [(history[cut - 1].at if cut else START, history[:cut]) for cut in [*cuts, len(history)]]
    watch, told = followed(looks, begun())
    for job in JOBS:
        states = [alert.state for alert in told if alert.incident.subject == job]
        assert states[::2] == ["open"] * len(states[::2])
        assert states[1::2] == ["recovered"] * len(states[1::2])
        # As somebody would count them who goes through the history with a finger.
        steps = [ended.succeeded for ended in history if ended.job == job]
        assert states.count("open") == sum(not now and before for before, now in pairwise([True, *steps]))
        assert (Kind.RUN, job) in {incident.key for incident in watch.open} or all(steps[-1:])


@given(history=histories(), data=st.data())
def test_what_is_open_in_the_end_does_not_depend_on_the_order_in_which_runs_are_seen(
    history: list[Ended], data: st.DataObject
) -> None:
    history = [ended for ended in history if ended.at < START + OVERLAP]
    history = list({ended.at: ended for ended in history}.values())
    seen = data.draw(st.permutations(history))
    watch, _ = followed([(START + 200 + number, seen[: number + 1]) for number in range(len(seen))], begun())
    newest = {ended.job: ended.succeeded for ended in history}
    assert {incident.subject for incident in watch.open} == {job for job, succeeded in newest.items() if not succeeded}


def test_failures_of_an_open_incident_are_silent_and_counted() -> None:
    history = history_of([("refresh", False)] * 3 + [("refresh", True)], [60] * 4)
    _, (opened, recovered) = followed(
        [(ended.at, history[: number + 1]) for number, ended in enumerate(history)], begun()
    )
    assert (opened.state, opened.incident.run_id, opened.incident.since) == ("open", "run-0", START + 60)
    assert (recovered.state, recovered.recovered_by, recovered.recovered_at) == ("recovered", "run-3", START + 240)
    assert recovered.incident.failures == 3
    assert recovered.incident.name == opened.incident.name


def test_a_job_that_failed_and_recovered_between_two_looks_is_told_of() -> None:
    history = history_of([("refresh", False), ("refresh", True)], [1, 1])
    watch, told = followed([(START + 10, history)], begun())
    assert [alert.state for alert in told] == ["open", "recovered"]
    assert watch.open == ()


def test_runs_count_in_the_order_in_which_they_ended() -> None:
    # The one that began first failed last.
    watch, told = followed([(START + 10, [run(1, ("refresh", False), 9), run(2, ("refresh", True), 5)])], begun())
    assert signs(told) == [("refresh", "open", "run-1")]
    assert len(watch.open) == 1


def test_jobs_fail_and_recover_each_for_itself() -> None:
    history = history_of([("refresh", False), ("reconcile", False), ("refresh", True)], [1, 1, 1])
    watch, told = followed([(START + 10, history)], begun())
    assert signs(told) == [
        ("refresh", "open", "run-0"),
        ("reconcile", "open", "run-1"),
        ("refresh", "recovered", "run-0"),
    ]
    assert [incident.subject for incident in watch.open] == ["reconcile"]


def test_a_run_that_was_given_up_and_lived_ends_its_incident() -> None:
    dead, alive = run(1, ("refresh", False), 1), run(1, ("refresh", True), 30)
    watch, told = followed([(START + 10, [dead]), (START + 40, [alive])], begun())
    assert [alert.state for alert in told] == ["open", "recovered"]
    assert watch.open == ()


def test_the_first_look_tells_of_what_is_broken_and_not_of_what_was() -> None:
    mended = history_of([("refresh", False), ("refresh", True)], [1, 1])
    broken = [run(9, ("reconcile", False), 3), run(10, ("reconcile", False), 4)]
    watch, told = followed([(START + 10, [*mended, *broken])], None)
    assert signs(told) == [("reconcile", "open", "run-9")]
    assert watch.open[0].failures == 2
    assert followed([(START + 11, [*mended, *broken])], watch)[1] == []


def test_no_look_goes_back_for_ever_and_looks_overlap() -> None:
    assert reads_from(None, START) == START - LOOK_BACK
    assert reads_from(begun(), START + 15) == START - OVERLAP
    assert reads_from(begun(), START + 10 * LOOK_BACK) == START + 9 * LOOK_BACK
    # A clock that was set back hides nothing.
    assert reads_from(begun(), START - 600) == START - 600 - OVERLAP


def test_runs_are_forgotten_when_no_look_will_find_them_again() -> None:
    watch = begun()
    for number in range(100):
        ended = [run(number, ("refresh", True), 60 * number)]
        watch = advance(watch, Observation(START + 60 * number, ended))
    assert len(watch.seen) == (OVERLAP + 60) / 60 + 1


def test_a_condition_is_told_of_when_it_begins_and_when_it_is_over() -> None:
    told: list[str] = []
    watch: Watch | None = begun()
    for number, broken in enumerate((None, STALE, STALE.model_copy(update={"why": "it goes on"}), None, None, STALE)):
        watch = advance(watch, Observation(START + number, conditions={FRESHNESS: broken}))
        told += [f"{number} {alert.state}" for alert in watch.pending]
        watch = watch.model_copy(update={"pending": ()})
    assert told == ["1 open", "3 recovered", "5 open"]


def test_a_condition_that_cannot_be_judged_stays_what_it_was() -> None:
    watch = advance(begun(), Observation(START, conditions={FRESHNESS: STALE}))
    assert advance(watch, Observation(START + 1)).open == (STALE,)


def test_a_condition_that_is_broken_at_the_first_look_is_told_of() -> None:
    assert [alert.state for alert in advance(None, Observation(START, conditions={FRESHNESS: STALE})).pending] == [
        "open"
    ]


def test_a_table_is_stale_when_it_was_not_loaded_for_as_long_as_the_window() -> None:
    loaded = {"old": START - 1800, "new": START - 1799, "newest": START}
    assert stale_tables(loaded, {}, START, 1800) == ({"old": START - 1800}, {})


def test_a_table_that_was_never_loaded_has_as_much_time_from_when_that_is_noticed() -> None:
    stale, missing = stale_tables({"never": None, "new": START}, {}, START, 1800)
    assert (stale, missing) == ({}, {"never": START})
    assert stale_tables({"never": None}, missing, START + 1799, 1800) == ({}, {"never": START})
    assert stale_tables({"never": None}, missing, START + 1800, 1800) == ({"never": START}, {"never": START})
    assert stale_tables({"never": START + 1}, missing, START + 1800, 1800) == ({}, {})


def test_each_run_is_asked_once_why_it_failed() -> None:
    watch = advance(begun(), Observation(START + 9, history_of([("refresh", False), ("reconcile", False)], [1, 1])))
    asked: list[str] = []

    def explain(run_id: str) -> tuple[str, str]:
        asked.append(run_id)
        return "load", f"because of {run_id}"

    told = explained(watch, explain)
    assert asked == ["run-0", "run-1"]
    for incident in (*told.open, *(alert.incident for alert in told.pending)):
        assert (incident.step, incident.why) == ("load", f"because of {incident.run_id}")
    assert explained(told, lambda _: pytest.fail("it was asked again")) == told


@given(history=histories(), times=st.integers(MAX_PENDING // 2 - 5, MAX_PENDING))
def test_during_a_long_outage_no_more_alerts_are_kept_than_anybody_would_read(history: list[Ended], times: int) -> None:
    flapping = history_of([("refresh", False), ("refresh", True)] * times, [1, 1] * times)
    later = [ended.model_copy(update={"run_id": f"later-{ended.run_id}", "at": ended.at + 1000}) for ended in history]
    watch = advance(begun(), Observation(START + 5000, [*flapping, *later]))
    assert len(watch.pending) <= MAX_PENDING
    assert len(watch.pending) >= MAX_PENDING - 10
    # What is open is among them, and nothing recovers that was not told of.
    opened = [alert.incident.name for alert in watch.pending if alert.state == "open"]
    assert {incident.name for incident in watch.open} <= set(opened)
    assert {alert.incident.name for alert in watch.pending} == set(opened)


@pytest.mark.parametrize("cursor", [None, "", "{}", "no JSON", '{"version": 2, "read_until": 1}', "[]", "null"])
def test_a_cursor_that_cannot_be_read_is_none(cursor: str | None) -> None:
    assert Watch.resumed(cursor) is None


@given(history=histories())
def test_a_cursor_holds_everything(history: list[Ended]) -> None:
    watch = advance(begun(), Observation(START + 5000, history, {FRESHNESS: STALE}, {"never": START / 3}))
    assert Watch.resumed(watch.model_dump_json()) == watch


def test_what_an_earlier_version_observed_of_other_jobs_is_dropped_without_an_alert() -> None:
    outcomes = [("__ASSET_JOB", False), ("refresh", False), ("theirs", False), ("theirs", True)]
    earlier = advance(begun(), Observation(START + 10, history_of(outcomes, [1] * 4), {FRESHNESS: STALE}))
    watch = earlier.limited_to(JOBS)
    assert [incident.subject for incident in watch.open] == ["refresh", "warehouse"]
    assert signs(watch.pending) == [("refresh", "open", "run-1"), ("warehouse", "open", "")]
    assert [ended.job for ended in watch.seen] == ["refresh"]
    assert watch.limited_to(JOBS) == watch


@given(history=histories())
def test_nothing_is_dropped_of_the_platforms_own_jobs(history: list[Ended]) -> None:
    watch = advance(begun(), Observation(START + 5000, history, {FRESHNESS: STALE}, {"never": START / 3}))
    assert watch.limited_to(JOBS) == watch
