"""What is read from the log is taken once, whatever goes wrong: every version of a row, in its order."""

import pytest

from totes_dagster_tests.system.faults.matrix import Matrix, every, some
from totes_dagster_tests.system.faults.points import DROPS, KILLS, POSTGRES_ERRORS, S3_ERRORS, Fault, Point, sample
from totes_dagster_tests.system.faults.scenes import Scene


@pytest.fixture
def scene(scenes: dict[str, Scene]) -> Scene:
    return scenes["logged changes"]


@pytest.fixture
def points(matrix: Matrix, scene: Scene) -> list[Point]:
    """Every request that a refresh from the log makes."""
    return matrix.points(scene)


@pytest.fixture
def of_the_log(points: list[Point]) -> list[Point]:
    """The statements by which the log is read, and the slot is found and moved."""
    words = ("pg_logical_slot_peek_binary_changes", "pg_replication_slot", "pg_publication")
    return [point for point in points if point.server == "source" and any(word in point.request for word in words)]


def test_a_refresh_from_the_log_that_is_killed_at_any_durable_step_is_completed_by_the_next(
    matrix: Matrix, scene: Scene, points: list[Point]
) -> None:
    durable = [point for point in points if point.is_durable]
    assert sum("/batches/" in point.request for point in durable) == 3
    assert matrix.wrongs(scene, every(sample(durable, 3, seed=1), KILLS)) == []


def test_a_refresh_that_is_killed_as_it_reads_or_moves_the_slot_is_completed_by_the_next(
    matrix: Matrix, scene: Scene, of_the_log: list[Point]
) -> None:
    assert {"advance" in point.request for point in of_the_log} == {True, False}
    assert matrix.wrongs(scene, every(sample(of_the_log, 3, seed=2), KILLS)) == []


def test_a_manifest_whose_answer_is_lost_is_committed_once(matrix: Matrix, scene: Scene, points: list[Point]) -> None:
    manifests = [point for point in points if point.request.startswith("PUT ") and "/batches/" in point.request]
    assert matrix.wrongs(scene, some(manifests, [*DROPS, Fault.UNANSWERED], 3, seed=3)) == []


def test_no_version_is_lost_when_reading_the_log_fails(matrix: Matrix, scene: Scene, of_the_log: list[Point]) -> None:
    faults = [*DROPS, Fault.CLOSED_MIDWAY, *POSTGRES_ERRORS]
    assert matrix.wrongs(scene, some(of_the_log, faults, 8, seed=4)) == []


def test_a_refresh_from_the_log_survives_whatever_passes_at_any_request(
    matrix: Matrix, scene: Scene, points: list[Point]
) -> None:
    requests = [point for point in points if point.server == "lake"]
    assert matrix.wrongs(scene, some(requests, [Fault.CLOSED_MIDWAY, *S3_ERRORS, *DROPS], 6, seed=5)) == []


def test_a_refresh_from_the_log_survives_or_names_what_a_database_reports_at_any_statement(
    matrix: Matrix, scene: Scene, points: list[Point]
) -> None:
    statements = [point for point in points if point.server != "lake" and point.request != "connect"]
    faults = [Fault.STATEMENT_TIMEOUT, Fault.DISK_FULL, Fault.DEADLOCK, *KILLS]
    assert matrix.wrongs(scene, some(statements, faults, 8, seed=6)) == []


def test_a_disk_that_is_full_as_rows_of_the_log_are_converted_loses_no_version(
    matrix: Matrix, scene: Scene, points: list[Point]
) -> None:
    converting = [point for point in points if point.server == "source" and "string_agg(" in point.request]
    assert matrix.wrongs(scene, some(converting, [Fault.DISK_FULL], 2, seed=7)) == []
