"""S3, or the way to it, fails at any request: what is committed is whole, and a refresh survives what passes."""

import pytest

from totes_dagster_tests.system.faults.matrix import Matrix, every, some
from totes_dagster_tests.system.faults.points import DROPS, KILLS, S3_ERRORS, Fault, Point, sample
from totes_dagster_tests.system.faults.scenes import Scene

only_a_rich_change = pytest.mark.parametrize("scene", ["a rich change"], indirect=True)


@pytest.fixture
def points(matrix: Matrix, scene: Scene) -> list[Point]:
    """Every request that a refresh makes of S3."""
    return [point for point in matrix.points(scene) if point.server == "lake"]


def test_the_commit_of_a_batch_survives_every_fault(matrix: Matrix, scene: Scene, points: list[Point]) -> None:
    commits = [point for point in points if point.request.startswith("PUT ingestion/batches/")]
    assert len(commits) == 1
    assert matrix.wrongs(scene, every(commits, [*KILLS, *DROPS])) == []


def test_a_refresh_that_is_killed_at_any_object_is_completed_by_the_next(
    matrix: Matrix, scene: Scene, points: list[Point]
) -> None:
    objects = sample([point for point in points if point.is_durable], 3, seed=4)
    assert matrix.wrongs(scene, every(objects, KILLS)) == []


# The rest is the same for a first load, and takes longer there.


@pytest.mark.slow
@only_a_rich_change
def test_the_commit_of_a_batch_survives_what_the_store_answers(
    matrix: Matrix, scene: Scene, points: list[Point]
) -> None:
    commits = [point for point in points if point.request.startswith("PUT ingestion/batches/")]
    faults = [*S3_ERRORS, Fault.UNANSWERED, Fault.SLOW_DOWN_FOR_GOOD]
    assert matrix.wrongs(scene, every(commits, faults)) == []


@only_a_rich_change
def test_an_object_that_was_created_without_an_answer_is_neither_lost_nor_taken_for_anothers(
    matrix: Matrix, scene: Scene, points: list[Point]
) -> None:
    objects = [point for point in points if point.is_durable]
    faults = [Fault.CLOSED_AFTER, Fault.CLOSED_AFTER, Fault.UNANSWERED]
    assert matrix.wrongs(scene, some(objects, faults, 6, seed=5)) == []


@only_a_rich_change
def test_a_refresh_survives_whatever_passes_at_any_request(matrix: Matrix, scene: Scene, points: list[Point]) -> None:
    faults = [Fault.CLOSED_MIDWAY, *S3_ERRORS, *DROPS]
    assert matrix.wrongs(scene, some(points, faults, 8, seed=6)) == []


@only_a_rich_change
def test_a_refresh_names_what_does_not_pass(matrix: Matrix, scene: Scene, points: list[Point]) -> None:
    assert matrix.wrongs(scene, every(sample(points, 2, seed=7), [Fault.SLOW_DOWN_FOR_GOOD])) == []
