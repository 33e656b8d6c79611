"""The command itself, stopped by a signal in the middle of its work: it ends, and the next one completes it."""

import signal

import pytest

from totes_dagster_tests.system.faults.matrix import Matrix, wrongs_after
from totes_dagster_tests.system.faults.points import Fault, Journal, last
from totes_dagster_tests.system.faults.proxied import proxied
from totes_dagster_tests.system.faults.refreshing import End, Outcome
from totes_dagster_tests.system.faults.scenes import Scene
from totes_dagster_tests.world import start_totes

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("server", "words", "number"),
    [
        ("source", "select count(*), string_agg", signal.SIGTERM),
        ("warehouse", 'insert into "public"."load_history"', signal.SIGINT),
        ("warehouse", "COMMIT", signal.SIGINT),
        ("warehouse", "COMMIT", signal.SIGKILL),
    ],
)
def test_a_command_that_is_stopped_is_completed_by_the_next(
    matrix: Matrix, scenes: dict[str, Scene], server: str, words: str, number: signal.Signals
) -> None:
    scene = scenes["a rich change"]
    point = last(matrix.points(scene), server, words)
    journal = Journal(point, Fault.INTERRUPTED_BEFORE)
    with scene.copy() as settings:
        with proxied(settings, journal) as way:
            process = start_totes(way.settings.platform(), "refresh")
            journal.interrupt = lambda: process.send_signal(number)
            _, said = process.communicate(timeout=60)
        assert journal.reached.is_set()
        assert process.returncode != 0
        assert "Traceback" not in said
        assert wrongs_after(scene, settings, Outcome(End.DIED, said=said)) == []
