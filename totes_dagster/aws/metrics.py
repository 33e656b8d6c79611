"""The platform's own metrics, as lines of CloudWatch's Embedded Metric Format on standard output.

CloudWatch Logs turns the lines into metrics. They are printed only if `TOTES_METRICS_NAMESPACE` is set, and a metric
never makes a run fail.

No library fits a plain batch process: aws-embedded-metrics is asynchronous, brings an HTTP client and looks for agents
and EC2; Powertools' Metrics raises errors and is made for Lambda. Both print to the stream that Dagster captures (see
`STDOUT`).
"""

import json
import logging
import os
import re
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from enum import StrEnum
from functools import cache
from typing import Self

from totes_dagster.config.settings import METRICS_NAMESPACE

STAGE = "Stage"
"""The dimension of the metrics of a stage."""


class Stage(StrEnum):
    """The stages: the values of the dimension."""

    INGEST = "ingest"
    REMODEL = "remodel"
    LOAD = "load"


class Metric(StrEnum):
    """The metrics: each one's name in CloudWatch, its unit, and the names of its dimensions."""

    unit: str
    dimensions: tuple[str, ...]

    def __new__(cls, name: str, unit: str, *dimensions: str) -> Self:
        """A metric whose value is its name."""
        metric = str.__new__(cls, name)
        metric._value_, metric.unit, metric.dimensions = name, unit, dimensions
        return metric

    ROWS = "Rows", "Count", STAGE
    SECONDS = "Seconds", "Seconds", STAGE
    KEPT_LOG = "KeptLog", "Bytes"
    QUARANTINED_ROWS = "QuarantinedRows", "Count"
    FRESHNESS_LAG = "FreshnessLag", "Seconds"
    REFRESHES = "Refreshes", "Count"
    FAILED_RUNS = "FailedRuns", "Count"
    OPEN_INCIDENTS = "OpenIncidents", "Count"


_LARGEST = 2.0**360
"""The largest value that CloudWatch accepts."""

_NAMESPACE = re.compile(r"[A-Za-z0-9._/#-][A-Za-z0-9._/#:-]{0,254}")

logger = logging.getLogger(__name__)


def _own_stdout() -> int | None:
    """A descriptor of this process's standard output; None if it has none."""
    with suppress(OSError):
        # If standard output was closed at the start, descriptor 1 may be anything by now.
        return os.dup(1) if sys.__stdout__ else None
    return None


# Duplicated at import. While steps run, Dagster redirects descriptor 1 to a file and lets `tail` copy the file to the
# original output: in pieces that may end within a line, and without the last ones if `tail` is slow.
STDOUT = _own_stdout()


def emit_stage(stage: Stage, *, rows: int, seconds: float) -> None:
    """Print how many rows a stage moved, and how many seconds it took."""
    _emit({Metric.ROWS: rows, Metric.SECONDS: seconds}, {STAGE: stage.value})


def emit(measured: Mapping[Metric, float]) -> None:
    """Print metrics that have no dimensions.

    Negative values, such as a lag between clocks that differ, count as 0. Values that CloudWatch does not accept are
    left out.
    """
    _emit(measured, {})


def _emit(measured: Mapping[Metric, float], dimensions: Mapping[str, str]) -> None:
    namespace = os.environ.get(METRICS_NAMESPACE)
    if not namespace:
        return
    try:
        fit = {metric: max(0.0, float(value)) for metric, value in measured.items() if abs(value) <= _LARGEST}
        if unfit := measured.keys() - fit.keys():
            _warn(f"CloudWatch does not accept the value of {', '.join(sorted(unfit))}.")
        if fit:
            _print(_line(namespace, fit, dimensions))
    except Exception as error:  # of any kind: the measured work is done
        _warn(f"{type(error).__name__}: {error}")


def _line(namespace: str, measured: Mapping[Metric, float], dimensions: Mapping[str, str]) -> str:
    """One document of the format; all its metrics have the same dimensions."""
    if not _NAMESPACE.fullmatch(namespace):
        raise ValueError(
            f"{METRICS_NAMESPACE} is {namespace!a}: use at most 255 of the characters A-Z a-z 0-9 . - _ / #"
        )
    if any(metric.dimensions != tuple(dimensions) for metric in measured):
        raise ValueError(f"{', '.join(measured)} cannot have the dimensions {', '.join(dimensions) or '(none)'}")
    directive = {
        "Namespace": namespace,
        "Dimensions": [list(dimensions)],
        "Metrics": [{"Name": metric.value, "Unit": metric.unit} for metric in measured],
    }
    about = {"Timestamp": time.time_ns() // 1_000_000, "CloudWatchMetrics": [directive]}
    return json.dumps({"_aws": about, **dimensions, **measured}, allow_nan=False, separators=(",", ":"))


def _print(line: str) -> None:
    if STDOUT is None:
        raise OSError("The process has no standard output")
    whole = f"{line}\n".encode("ascii")
    # One short write: lines of other threads, and of other processes on the same pipe, stay whole as well.
    if os.write(STDOUT, whole) < len(whole):
        raise OSError("Only part of a line was written to standard output")


@cache  # logs each reason once, not with every line
def _warn(reason: str) -> None:
    logger.warning("Metrics are missing. %s", reason)
