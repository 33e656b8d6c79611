"""The lines themselves: valid whatever is measured, whole whoever prints, and never a reason to fail."""

import logging
import math
import os
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from totes_dagster.aws import metrics
from totes_dagster.aws.metrics import Metric, Stage, emit, emit_stage
from totes_dagster.config.settings import METRICS_NAMESPACE
from totes_dagster_tests.embedded_format import LARGEST, UNITS, points_of
from totes_dagster_tests.printed import NAMESPACE, Printed, values

PLAIN = [metric for metric in Metric if not metric.dimensions]

anything = st.one_of(
    st.integers(),
    st.floats(),
    st.integers(min_value=LARGEST),
    st.sampled_from([math.nan, math.inf, -math.inf, -0.0, 10**400, -(10**400), 5e-324, 2.0**360]),
)
namespaces = st.from_regex(r"\A[A-Za-z0-9._/#-][A-Za-z0-9._/#:-]{0,254}\Z")

for_all = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def expected(value: float) -> float | None:
    """What CloudWatch must get of a value; None for nothing."""
    return max(0.0, float(value)) if -LARGEST <= value <= LARGEST else None  # which NaN is not


@for_all
@given(st.dictionaries(st.sampled_from(PLAIN), anything, min_size=1))
def test_whatever_is_measured_lines_are_valid_and_say_it(printed: Printed, measured: dict[Metric, float]) -> None:
    emit(measured)
    fit = {name: sent for name, value in measured.items() if (sent := expected(value)) is not None}
    assert {point.name: point.value for point in printed.points()} == fit


@for_all
@given(st.sampled_from(Stage), anything, anything)
def test_stages_are_told_apart_by_their_dimension(printed: Printed, stage: Stage, rows: int, seconds: float) -> None:
    emit_stage(stage, rows=rows, seconds=seconds)
    points = printed.points()
    assert values(points, "Rows", stage.value) == [sent for sent in [expected(rows)] if sent is not None]
    assert values(points, "Seconds", stage.value) == [sent for sent in [expected(seconds)] if sent is not None]
    assert all(point.dimensions == (("Stage", stage.value),) for point in points)


@for_all
@given(namespaces)
def test_every_namespace_that_cloudwatch_takes_is_taken(
    printed: Printed, monkeypatch: pytest.MonkeyPatch, namespace: str
) -> None:
    monkeypatch.setenv(METRICS_NAMESPACE, namespace)
    emit({Metric.REFRESHES: 1})
    text = printed.text()
    assert [point.namespace for point in points_of(text)] == [namespace]
    assert len(text) < 4096  # what a pipe takes in one piece


@pytest.mark.parametrize("namespace", ["a b", ":totes", "n" * 256, "totes\n", "töte", "\udcff", '"'])
def test_a_namespace_that_cloudwatch_does_not_take_is_warned_of(
    printed: Printed, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, namespace: str
) -> None:
    monkeypatch.setenv(METRICS_NAMESPACE, namespace)
    emit({Metric.REFRESHES: 1})
    assert printed.text() == ""
    assert METRICS_NAMESPACE in caplog.text


def test_metrics_are_declared_as_cloudwatch_takes_them() -> None:
    assert [metric.value for metric in Metric if metric.unit not in UNITS] == []
    assert {metric.value: metric.dimensions for metric in Metric if metric.dimensions} == {
        "Rows": ("Stage",),
        "Seconds": ("Stage",),
    }
    assert {metric.value for metric in Metric if metric.unit == "Seconds"} == {"Seconds", "FreshnessLag"}


@pytest.mark.parametrize("namespace", [None, ""])
def test_nothing_is_printed_where_nobody_asked_for_it(
    stdout: Printed, monkeypatch: pytest.MonkeyPatch, namespace: str | None
) -> None:
    if namespace is None:
        monkeypatch.delenv(METRICS_NAMESPACE, raising=False)
    else:
        monkeypatch.setenv(METRICS_NAMESPACE, namespace)
    emit({Metric.REFRESHES: 1})
    emit_stage(Stage.LOAD, rows=1, seconds=1)
    assert stdout.text() == ""


def test_a_metric_without_its_dimension_is_warned_of(printed: Printed, caplog: pytest.LogCaptureFixture) -> None:
    emit({Metric.ROWS: 1})
    assert printed.text() == ""
    assert "Rows cannot have the dimensions (none)" in caplog.text


def test_what_cannot_be_printed_is_warned_of_once_and_nothing_more(
    printed: Printed, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        emit({Metric.FRESHNESS_LAG: math.nan, Metric.REFRESHES: 1})
    assert values(printed.points(), "Refreshes") == [1, 1, 1]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "FreshnessLag" in caplog.text


@pytest.mark.parametrize("reason", ["closed", "nobody reads", "full", "never had one"])
def test_a_standard_output_that_fails_is_no_reason_to_fail(
    printed: Printed, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, reason: str
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    if reason == "closed":
        os.close(writer)
    if reason == "full":
        os.dup2(full := os.open("/dev/full", os.O_WRONLY), writer)
        os.close(full)
    monkeypatch.setattr(metrics, "STDOUT", None if reason == "never had one" else writer)
    for _ in range(3):
        emit({Metric.REFRESHES: 1})
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    if reason != "closed":
        os.close(writer)


def program(code: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """A program that prints metrics, and how it ended."""
    head = "from totes_dagster.aws.metrics import Metric, emit\n"
    environment = {**os.environ, METRICS_NAMESPACE: NAMESPACE}
    return subprocess.run(
        [sys.executable, "-c", head + code], env=environment, text=True, stderr=subprocess.PIPE, check=True, **options
    )


def test_a_program_without_standard_output_writes_to_nothing_that_takes_its_place() -> None:
    code = """
import socket, sys
ours, theirs = socket.socketpair()
assert 1 in {ours.fileno(), theirs.fileno()}
emit({Metric.REFRESHES: 1})
ours.setblocking(False), theirs.setblocking(False)
for end in (ours, theirs):
    try:
        sys.exit(f"Something came: {end.recv(100)}")
    except BlockingIOError:
        pass
"""
    done = program(code, preexec_fn=lambda: os.close(1))
    assert "Metrics are missing" in done.stderr


def test_lines_stay_whole_when_threads_and_processes_print_at_once() -> None:
    code = """
import os, threading
def work(number):
    for _ in range(200):
        emit({Metric.REFRESHES: number, Metric.FAILED_RUNS: number, Metric.OPEN_INCIDENTS: number})
child = os.fork()
threads = [threading.Thread(target=work, args=[number + (0 if child else 4)]) for number in range(4)]
[thread.start() for thread in threads], [thread.join() for thread in threads]
child and os.waitpid(child, 0)
"""
    lines = program(code, stdout=subprocess.PIPE).stdout.splitlines()
    assert Counter(values(points_of(line), "Refreshes")[0] for line in lines) == dict.fromkeys(range(8), 200)


def test_many_threads_may_print_to_a_file(printed: Printed) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: emit({Metric.REFRESHES: number}), range(400)))
    assert sorted(values(printed.points(), "Refreshes")) == list(range(400))
