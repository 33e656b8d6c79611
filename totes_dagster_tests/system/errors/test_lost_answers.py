"""Requests whose answers are lost: what was created is ours, what another created is not, and asking again is safe."""

import pyarrow as pa
import pytest

from totes_dagster.errors import LakeUnavailableError
from totes_dagster.lake.zone import Zone
from totes_dagster_tests.s3_front import Answer, Decide, PassOn, Request, refusal
from totes_dagster_tests.system.errors.asking import ACTIONS, ROWS, Front, failure


def lose_the_first_answer_to_a_put(kept: list[Answer]) -> Decide:
    """Let a request be carried out, and close the connection instead of answering."""

    def decide(request: Request, pass_on: PassOn) -> Answer:
        answer = pass_on(request)
        if request.method != "PUT":
            return answer
        kept.append(answer)
        return Answer(lost=True) if len(kept) == 1 else answer

    return decide


def test_an_object_whose_creation_was_not_answered_is_ours(front: Front) -> None:
    answers: list[Answer] = []
    lake = front(lose_the_first_answer_to_a_put(answers))
    assert lake.create("batches/0000000001.json", b"ours")
    assert [answer.status for answer in answers] == [200, 412]
    assert lake.read("batches/0000000001.json") == pa.py_buffer(b"ours")


def test_a_part_whose_creation_was_not_answered_is_ours(front: Front) -> None:
    part = front(lose_the_first_answer_to_a_put([])).create_part("payment/part", ROWS)
    assert part is not None
    assert part.rows == 1


def test_an_object_that_another_created_is_not_ours_however_the_answers_go(front: Front, lake: Zone) -> None:
    assert lake.create("batches/0000000001.json", b"theirs")
    mine = front(lose_the_first_answer_to_a_put([]))
    assert not mine.create("batches/0000000001.json", b"mine")
    assert lake.read("batches/0000000001.json") == pa.py_buffer(b"theirs")


def test_a_creation_that_timed_out_may_be_repeated_whatever_came_of_it(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_TIMEOUT", "500ms")
    put: list[Answer] = []

    def decide(request: Request, pass_on: PassOn) -> Answer:
        answer = pass_on(request)
        if request.method != "PUT":
            return answer
        put.append(answer)
        return Answer(never=True) if len(put) == 1 else answer

    lake = front(decide)
    assert type(failure(lake, ACTIONS["create"])) is LakeUnavailableError
    assert len(put) == 1, "a request that timed out must not be repeated as if it had not been carried out"
    assert ACTIONS["create"](lake)


def test_a_conflict_that_came_to_nothing_is_not_taken_for_an_object(front: Front) -> None:
    """S3 answers 409 to one of two requests at once, and the other may still fail."""
    asked: list[str] = []

    def decide(request: Request, pass_on: PassOn) -> Answer:
        asked.append(request.method)
        if asked.count("PUT") > 1 or request.method != "PUT":
            return pass_on(request)
        return refusal(409, "ConditionalRequestConflict", "A conflicting conditional operation is in progress.")

    lake = front(decide)
    assert type(failure(lake, ACTIONS["create"])) is LakeUnavailableError
    assert ACTIONS["create"](lake)
