"""What CloudWatch's Embedded Metric Format requires of a line, from its specification."""

import json
from dataclasses import dataclass
from typing import Any

SIZES = ("Bytes", "Kilobytes", "Megabytes", "Gigabytes", "Terabytes", "Bits", "Kilobits", "Megabits", "Gigabits")
AMOUNTS = (*SIZES, "Terabits", "Count")
UNITS = {
    "Seconds",
    "Microseconds",
    "Milliseconds",
    "Percent",
    "None",
    *AMOUNTS,
    *(f"{name}/Second" for name in AMOUNTS),
}

LARGEST = 2**360

YEAR_2020, YEAR_2100 = 1_577_836_800_000, 4_102_444_800_000


@dataclass(frozen=True)
class Point:
    """One value of one metric, as CloudWatch takes it from a line."""

    namespace: str
    name: str
    unit: str
    dimensions: tuple[tuple[str, str], ...]
    value: float
    timestamp: int

    @property
    def stage(self) -> str:
        return dict(self.dimensions).get("Stage", "")


def points_of(line: str) -> list[Point]:
    """The values in a line; an AssertionError shows what breaks the specification."""
    assert len(line.encode()) <= 2**20
    document = json.loads(line, parse_constant=_refuse, object_pairs_hook=_without_doubles)
    assert isinstance(document, dict)
    about = document["_aws"]
    assert about.keys() == {"Timestamp", "CloudWatchMetrics"}
    assert type(about["Timestamp"]) is int
    assert YEAR_2020 < about["Timestamp"] < YEAR_2100
    assert isinstance(about["CloudWatchMetrics"], list)
    return [
        point for directive in about["CloudWatchMetrics"] for point in _points(directive, document, about["Timestamp"])
    ]


def _points(directive: dict[str, Any], document: dict[str, Any], timestamp: int) -> list[Point]:
    assert directive.keys() == {"Namespace", "Dimensions", "Metrics"}
    _check_text(directive["Namespace"], 1024)
    assert isinstance(directive["Dimensions"], list)
    assert directive["Dimensions"]
    for names in directive["Dimensions"]:
        assert isinstance(names, list)
        assert len(names) <= 30
        for name in names:
            _check_text(name, 250)
            _check_text(document[name], 1024)
    assert isinstance(directive["Metrics"], list)
    assert 0 < len(directive["Metrics"]) <= 100
    for metric in directive["Metrics"]:
        assert {"Name"} <= metric.keys() <= {"Name", "Unit", "StorageResolution"}
        _check_text(metric["Name"], 1024)
        assert metric.get("Unit", "None") in UNITS
        assert type(document[metric["Name"]]) in {int, float}
        assert abs(document[metric["Name"]]) <= LARGEST
    return [
        Point(
            namespace=directive["Namespace"],
            name=metric["Name"],
            unit=metric.get("Unit", "None"),
            dimensions=tuple((name, document[name]) for name in names),
            value=document[metric["Name"]],
            timestamp=timestamp,
        )
        for names in directive["Dimensions"]
        for metric in directive["Metrics"]
    ]


def _check_text(text: Any, longest: int) -> None:
    assert isinstance(text, str)
    assert 1 <= len(text) <= longest
    assert "\n" not in text


def _refuse(constant: str) -> Any:
    raise AssertionError(f"{constant} is no JSON.")


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len({name for name, _ in pairs}) == len(pairs)
    return dict(pairs)
