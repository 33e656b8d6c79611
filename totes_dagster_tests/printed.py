"""What was printed to a standard output that is a file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from totes_dagster.aws import metrics
from totes_dagster.config.settings import METRICS_NAMESPACE
from totes_dagster_tests.embedded_format import Point, points_of

NAMESPACE = "totes-tests"


class Printed:
    """A file that metrics are printed to, and what of it was not read yet."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0

    def text(self) -> str:
        """The lines since it was last asked for, but for one that is still being written."""
        with self._path.open("rb") as file:
            file.seek(self._read)
            new = file.read()
        new = new[: new.rfind(b"\n") + 1]
        self._read += len(new)
        return new.decode()

    def points(self, *, among_others: bool = False) -> list[Point]:
        """The metrics printed since: every line must be one valid document, or every one that has to do with it."""
        lines = [line for line in self.text().splitlines() if not among_others or "_aws" in line]
        return [point for line in lines for point in points_of(line)]


def values(points: list[Point], name: str, stage: str = "") -> list[float]:
    """The values of a metric, in the order of printing."""
    return [point.value for point in points if (point.name, point.stage) == (name, stage)]


@contextmanager
def printed_to(path: Path, *, asked: bool) -> Iterator[Printed]:
    """Have this process take a file for its standard output during the block, perhaps with metrics asked for."""
    with path.open("ab") as file, pytest.MonkeyPatch.context() as patched:
        patched.setattr(metrics, "STDOUT", file.fileno())
        if asked:
            patched.setenv(METRICS_NAMESPACE, NAMESPACE)
        yield Printed(path)
