"""Feeds are taken and loaded in spite of faults: every file once, and nothing that is named is missing or torn."""

import pytest

from totes_dagster_tests.system.faults.matrix import Matrix, every, some
from totes_dagster_tests.system.faults.points import DROPS, KILLS, POSTGRES_ERRORS, S3_ERRORS, Fault, Point, sample
from totes_dagster_tests.system.faults.scenes import Scene


@pytest.fixture
def scene(scenes: dict[str, Scene]) -> Scene:
    return scenes["files of feeds"]


@pytest.fixture
def points(matrix: Matrix, scene: Scene) -> list[Point]:
    """Every request that a refresh of the feeds makes."""
    return matrix.points(scene)


def test_a_feed_that_is_killed_at_any_durable_step_is_completed_by_the_next_refresh(
    matrix: Matrix, scene: Scene, points: list[Point]
) -> None:
    durable = [point for point in points if point.is_durable]
    written = {point.request.split("/")[0] for point in durable if point.server == "lake"}
    assert written == {"PUT ingestion", "PUT processed"}
    assert matrix.wrongs(scene, every(sample(durable, 6, seed=1), KILLS)) == []


def test_a_manifest_whose_answer_is_lost_is_committed_once(matrix: Matrix, scene: Scene, points: list[Point]) -> None:
    manifests = [point for point in points if point.request.startswith("PUT ") and "/batches/" in point.request]
    assert len(manifests) == 3
    assert matrix.wrongs(scene, some(manifests, [*DROPS, Fault.UNANSWERED], 3, seed=2)) == []


def test_the_commits_of_a_feed_survive_every_fault(matrix: Matrix, scene: Scene, points: list[Point]) -> None:
    commits = [point for point in points if point.is_durable and point.server == "warehouse"]
    assert matrix.wrongs(scene, some(commits, [*DROPS, *POSTGRES_ERRORS], 6, seed=3)) == []


def test_a_feed_survives_whatever_passes_at_any_request(matrix: Matrix, scene: Scene, points: list[Point]) -> None:
    requests = [point for point in points if point.server == "lake"]
    assert any(point.request.startswith("GET landing/") for point in requests)
    assert matrix.wrongs(scene, some(requests, [Fault.CLOSED_MIDWAY, *S3_ERRORS, *DROPS], 8, seed=4)) == []


def test_a_feed_survives_or_names_what_the_warehouse_reports_at_any_statement(
    matrix: Matrix, scene: Scene, points: list[Point]
) -> None:
    statements = [point for point in points if point.server == "warehouse" and point.request != "connect"]
    faults = [Fault.STATEMENT_TIMEOUT, Fault.DISK_FULL, Fault.DEADLOCK, *KILLS]
    assert matrix.wrongs(scene, some(statements, faults, 8, seed=5)) == []
