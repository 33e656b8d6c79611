"""What a measurement of latency comes to: percentiles, steps that add up, and which run took a snapshot."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from totes_dagster.latency.timings import (
    MOMENTS,
    Change,
    Reading,
    Summary,
    as_json,
    moments_of,
    offset_of,
    percentile,
    run_of,
    steps_of,
    summaries_of,
)
from totes_dagster.orchestration.run_records import Run


def at(seconds: float) -> datetime:
    return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)


def a_run(requested: float, launched: float | None, started: float, ended: float | None, name: str = "run") -> Run:
    def maybe(seconds: float | None) -> datetime | None:
        return None if seconds is None else at(seconds)

    return Run(name, at(requested), maybe(launched), at(started), maybe(ended))


def change(run: Run | None = None, number: int = 1, **moments: float) -> Change:
    """A change that was committed at 10, captured at 16, loaded at 18 and seen at 19, unless it says otherwise."""
    seconds = {"committed_at": 10.0, "snapshot_at": 16.0, "loaded_at": 18.0, "seen_at": 19.0} | moments
    return Change(
        number=number,
        run=run,
        committed_at=at(seconds["committed_at"]),
        snapshot_at=at(seconds["snapshot_at"]),
        loaded_at=at(seconds["loaded_at"]),
        seen_at=at(seconds["seen_at"]),
    )


@pytest.mark.parametrize(
    ("count", "percent", "expected"), [(1, 50, 1), (2, 50, 1), (3, 50, 2), (20, 95, 19), (30, 95, 29), (100, 7, 7)]
)
def test_a_percentile_is_the_value_at_the_nearest_rank(count: int, percent: int, expected: int) -> None:
    assert percentile(range(count, 0, -1), percent) == expected


@given(st.lists(st.floats(0, 1e6), min_size=1), st.integers(1, 100))
def test_a_percentile_is_one_of_the_values_and_covers_its_share_with_no_smaller_one_that_does(
    values: list[float], percent: int
) -> None:
    found = percentile(values, percent)
    assert found in values
    assert 100 * sum(value <= found for value in values) >= percent * len(values)
    assert 100 * sum(value < found for value in values) < percent * len(values)


@pytest.mark.parametrize("percent", [25, 50, 75, 100])  # of which a float's share of 64 is exact
def test_a_percentile_is_what_numpy_calls_the_inverted_cdf(percent: int) -> None:
    values = np.random.default_rng(0).random(64)
    assert percentile(values, percent) == np.percentile(values, percent, method="inverted_cdf")


def test_a_change_is_split_at_every_moment_that_is_known() -> None:
    split = steps_of(change(a_run(11, 12, 15, 20)))
    assert split == {
        ("commit", "requested"): 1,
        ("requested", "launched"): 1,
        ("launched", "started"): 3,
        ("started", "snapshot"): 1,
        ("snapshot", "loaded"): 2,
        ("loaded", "seen"): 1,
    }


def test_where_no_run_is_known_its_steps_are_one() -> None:
    assert list(steps_of(change())) == [("commit", "snapshot"), ("snapshot", "loaded"), ("loaded", "seen")]
    assert ("requested", "started") in steps_of(change(a_run(11, None, 15, 20)))


def test_where_no_batch_is_known_only_the_whole_way_is() -> None:
    unknown = Change(number=1, committed_at=at(10), snapshot_at=None, loaded_at=None, seen_at=at(19))
    assert [summary.step for summary in summaries_of([unknown])] == [("commit", "seen")]


def test_a_run_that_was_on_its_way_before_the_commit_cost_nothing_until_then() -> None:
    split = steps_of(change(a_run(7, 8, 9, 20)))
    assert split["commit", "requested"] == split["requested", "launched"] == split["launched", "started"] == 0
    assert split["started", "snapshot"] == 6


@given(st.lists(st.floats(0, 100), min_size=6, max_size=6), st.floats(0, 100))
def test_steps_are_never_negative_and_add_up_to_the_whole_way(moments: list[float], seconds: float) -> None:
    requested, launched, started, snapshot, loaded, committed = moments
    split = steps_of(
        change(
            a_run(requested, launched, started, None),
            committed_at=committed,
            snapshot_at=snapshot,
            loaded_at=loaded,
            seen_at=committed + seconds,
        )
    )
    assert min(split.values()) >= 0
    assert sum(split.values()) == pytest.approx(seconds, abs=1e-5)


def test_a_summary_counts_the_changes_of_each_step_and_ends_with_the_whole_way() -> None:
    changes = [
        change(a_run(11, 12, 15, 20)),
        change(number=2, seen_at=22.0),
        change(a_run(13, 14, 15, 20), number=3, seen_at=20.0),
    ]
    summaries = summaries_of(changes)
    assert [(" ".join(summary.step), summary.count) for summary in summaries] == [
        ("commit requested", 2),
        ("requested launched", 2),
        ("launched started", 2),
        ("commit snapshot", 1),
        ("started snapshot", 2),
        ("snapshot loaded", 3),
        ("loaded seen", 3),
        ("commit seen", 3),
    ]
    assert summaries[-1] == Summary(("commit", "seen"), 3, median=10, p95=12, longest=12)


def test_nothing_measured_is_nothing_to_tell() -> None:
    assert summaries_of([]) == []


def test_a_change_from_the_log_has_no_snapshot_but_a_run() -> None:
    run = run_of(at(18), [a_run(11, 12, 13, 18.5, "then")])
    steps = steps_of(change(run, snapshot_at=9.99))
    assert steps == {
        ("commit", "requested"): 1,
        ("requested", "launched"): 1,
        ("launched", "started"): 1,
        ("started", "loaded"): 5,
        ("loaded", "seen"): 1,
    }


def test_a_load_is_of_the_run_that_was_at_work_then() -> None:
    runs = [a_run(0, 1, 2, 5, "before"), a_run(6, 7, 8, 12, "then"), a_run(13, 14, 15, None, "after")]
    found = run_of(at(10), runs)
    assert found is not None
    assert found.run_id == "then"
    assert run_of(at(7), runs) is None
    assert run_of(at(99), runs) == runs[-1]


def test_a_run_that_died_without_a_word_does_not_claim_what_later_ones_brought() -> None:
    runs = [a_run(0, 1, 2, None, "dead"), a_run(6, 7, 8, 12, "alive")]
    assert run_of(at(10), runs) == runs[1]


def test_a_servers_clock_is_compared_with_the_middle_of_the_quickest_round_trip() -> None:
    slow = Reading(asked_at=at(0), server_time=at(7.5), answered_at=at(5))
    quick = Reading(asked_at=at(10), server_time=at(13.1), answered_at=at(10.2))
    assert offset_of([slow, quick, slow]) == timedelta(seconds=3)
    assert offset_of([Reading(at(10), at(9), at(10))]) == timedelta(seconds=-1)


def test_json_holds_all_that_was_measured() -> None:
    whole = change(a_run(11, 12, 15, 20))
    written = json.loads(json.dumps(as_json(whole)))
    assert tuple(written["moments"]) == MOMENTS == tuple(moments_of(whole))
    assert (written["number"], written["run"], written["seconds"]) == (1, "run", 9)
    assert sum(written["steps"].values()) == 9
