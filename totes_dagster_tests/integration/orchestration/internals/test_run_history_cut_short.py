"""A prune that dies at whichever moment leaves nothing that the next one does not remove."""

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from sqlalchemy import Engine, event

from totes_dagster_tests.integration.orchestration.memory import Memory

pytestmark = pytest.mark.slow

TAGS = {"totes/changed": "staff"}


class Killed(BaseException):
    """Nobody catches this."""


@contextmanager
def dying(monkeypatch: pytest.MonkeyPatch, moment: int) -> Iterator[list[str]]:
    """Let the block die before it changes something: a row or a file, and of all these changes before the moment-th.

    What it changed before is durable, unless the transaction goes on; as if the process were killed.
    """
    passed: list[str] = []

    def pass_or_die(what: str) -> None:
        passed.append(what)
        if len(passed) == moment:
            raise Killed

    def before_statement(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if not statement.startswith(("SELECT", "WITH", "PRAGMA")):
            pass_or_die(statement)

    event.listen(Engine, "before_cursor_execute", before_statement)
    with monkeypatch.context() as patch:
        for real in (os.unlink, os.remove, os.rmdir):

            def remove(*args: Any, real: Any = real, **options: Any) -> None:
                pass_or_die(real.__name__)
                real(*args, **options)

            patch.setattr(os, real.__name__, remove)
        try:
            yield passed
        finally:
            event.remove(Engine, "before_cursor_execute", before_statement)


def test_whenever_a_removal_is_cut_short_the_next_prune_ends_it(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = memory.run(tags=TAGS)
    for moment in itertools.count(1):
        run, kept = kept, memory.run(tags=TAGS)
        with suppress(Killed), dying(monkeypatch, moment) as passed:
            memory.history().remove([run])
        # Whatever is left of it, its row is.
        assert (run in memory.runs()) == bool(memory.mentions(run)), passed
        memory.prune(refreshes=1)
        assert memory.mentions(run) == memory.untagged() == set(), passed
        assert memory.runs() == {kept}
        if len(passed) < moment:
            break
    assert "unlink" in passed
    assert "rmdir" in passed
    assert sum(what.startswith("DELETE") for what in passed) >= 5
