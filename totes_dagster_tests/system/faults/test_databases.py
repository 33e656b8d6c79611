"""A database, or the way to it, fails at any statement: a refresh survives what passes, and doubles nothing."""

import pytest

from totes_dagster_tests.system.faults.matrix import Matrix, every, some
from totes_dagster_tests.system.faults.points import DROPS, KILLS, POSTGRES_ERRORS, Fault, Point, sample
from totes_dagster_tests.system.faults.scenes import Scene


@pytest.fixture
def points(matrix: Matrix, scene: Scene) -> list[Point]:
    """Every statement and every connection of a refresh."""
    return [point for point in matrix.points(scene) if point.server != "lake"]


def test_the_commits_of_the_warehouse_survive_every_fault(matrix: Matrix, scene: Scene, points: list[Point]) -> None:
    commits = [point for point in points if point.is_durable]
    assert len(commits) > 1
    assert (
        matrix.wrongs(scene, every(sample(commits, len(commits), seed=7), [Fault.KILLED_AFTER, Fault.CLOSED_AFTER]))
        == []
    )
    # One at each: nothing is committed, whichever it is.
    faults = [*POSTGRES_ERRORS, Fault.KILLED_BEFORE, Fault.CLOSED_BEFORE]
    assert matrix.wrongs(scene, some(commits, faults, len(commits), seed=6)) == []


def test_a_refresh_that_is_killed_at_any_statement_is_completed_by_the_next(
    matrix: Matrix, scene: Scene, points: list[Point]
) -> None:
    assert matrix.wrongs(scene, some(points, KILLS, 8, seed=1)) == []


def test_a_refresh_survives_a_connection_that_is_lost_at_any_statement(
    matrix: Matrix, scene: Scene, points: list[Point]
) -> None:
    faults = [*DROPS, Fault.CLOSED_MIDWAY, Fault.ADMIN_SHUTDOWN]
    assert matrix.wrongs(scene, some(points, faults, 6, seed=2)) == []


def test_a_refresh_survives_a_stream_of_rows_that_breaks_off(matrix: Matrix, scene: Scene, points: list[Point]) -> None:
    streams = [point for point in points if point.server == "source" and "string_agg" in point.request]
    assert streams
    assert matrix.wrongs(scene, every(sample(streams, 2, seed=4), [Fault.CLOSED_MIDWAY])) == []


def test_a_refresh_survives_or_names_what_a_database_reports_at_any_statement(
    matrix: Matrix, scene: Scene, points: list[Point]
) -> None:
    statements = [point for point in points if point.request != "connect"]
    faults = [Fault.STATEMENT_TIMEOUT, Fault.DISK_FULL, Fault.DEADLOCK]
    assert matrix.wrongs(scene, some(statements, faults, 6, seed=3)) == []


def test_a_refresh_waits_for_a_database_that_is_starting_up(matrix: Matrix, scene: Scene, points: list[Point]) -> None:
    connections = [
        point
        for server in ("source", "warehouse")
        for point in sample([each for each in points if (each.server, each.request) == (server, "connect")], 2, seed=5)
    ]
    assert matrix.wrongs(scene, every(connections, [Fault.STARTING_UP])) == []
