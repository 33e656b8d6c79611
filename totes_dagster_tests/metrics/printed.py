"""What was printed to a standard output that is a file."""

from pathlib import Path

from totes_dagster_tests.metrics.embedded_format import Point, points_of

NAMESPACE = "totes-tests"


class Printed:
    """A file that metrics are printed to, and what of it was not read yet."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0

    def text(self) -> str:
        """Everything since it was last asked for."""
        with self._path.open("rb") as file:
            file.seek(self._read)
            new = file.read()
        self._read += len(new)
        return new.decode()

    def points(self) -> list[Point]:
        """The metrics printed since, of which each line must be one valid document."""
        text = self.text()
        assert not text or text.endswith("\n")
        return [point for line in text.splitlines() for point in points_of(line)]


def values(points: list[Point], name: str, stage: str = "") -> list[float]:
    """The values of a metric, in the order of printing."""
    return [point.value for point in points if (point.name, point.stage) == (name, stage)]
