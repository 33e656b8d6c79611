"""Groups of processes: what is waited for, interrupted and killed is all of them, wherever in the tree."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from totes_dagster.runtime.processes import ProcessGroup

ORPHAN = """
import os, sys
if os.fork():
    os._exit(3)
with open(sys.argv[1], "w") as say:  # until somebody listens
    say.write(str(os.getpid()))
with open(sys.argv[2]) as listen:
    listen.read()
"""
"""A program that ends at once, and leaves a process behind that says its number and waits for a word."""


@pytest.fixture
def pipes(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("says", "listens"):
        os.mkfifo(tmp_path / name)
    return tmp_path / "says", tmp_path / "listens"


@pytest.fixture
def group(tmp_path: Path, pipes: tuple[Path, Path]) -> Iterator[ProcessGroup]:
    group = ProcessGroup(tmp_path / "log")
    assert not group.is_running()
    group.start([sys.executable, "-c", ORPHAN, *map(str, pipes)], os.environ)
    yield group
    group.kill()


def has_ended(number: int) -> bool:
    """Whether a process is gone, or has nothing left but its number, which the kernel may take a moment to clear."""
    try:
        return psutil.Process(number).cmdline() == []
    except psutil.Error:
        return True


def test_a_group_runs_as_long_as_the_last_of_its_processes(group: ProcessGroup, pipes: tuple[Path, Path]) -> None:
    says, listens = pipes
    assert group.wait_for_program() == 3
    number = int(says.read_text())
    assert (group.status, group.is_running()) == (3, True)
    with pytest.raises(BlockingIOError):
        ProcessGroup(group.log).start(["true"], os.environ)
    listens.write_text("end")
    group.wait()
    assert not group.is_running()
    assert has_ended(number)
    assert not group.kill()


def test_what_is_left_of_a_group_can_be_killed(group: ProcessGroup, pipes: tuple[Path, Path]) -> None:
    group.wait_for_program()
    number = int(pipes[0].read_text())
    assert group.kill()
    assert not group.is_running()
    assert has_ended(number)


def test_an_interrupt_reaches_all_where_it_is_to(group: ProcessGroup, pipes: tuple[Path, Path]) -> None:
    group.wait_for_program()
    assert pipes[0].read_text()
    group.interrupt_all()
    assert not group.is_running()
    assert "KeyboardInterrupt" in group.log.read_text()


RESTARTS = """
import signal, subprocess, sys, time

def restart(number, frame):
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    print("restarted", subprocess.Popen(["sleep", "infinity"]).pid, flush=True)
    sys.exit(4)

signal.signal(signal.SIGINT, restart)
open(sys.argv[1], "w").write("ready")
while True:
    time.sleep(1)
"""


def test_a_process_that_is_started_again_after_the_interrupt_is_interrupted_too(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    os.mkfifo(ready)
    group = ProcessGroup(tmp_path / "log")
    group.start([sys.executable, "-c", RESTARTS, str(ready)], os.environ)
    assert ready.read_text() == "ready"
    group.interrupt_all()
    assert not group.is_running()
    said, number = group.log.read_text().split()
    assert (said, has_ended(int(number)), group.status) == ("restarted", True, 4)


def test_a_new_group_begins_its_log_anew(group: ProcessGroup, pipes: tuple[Path, Path]) -> None:
    group.log.write_text("old")
    pipes[0].read_text()
    group.kill()
    new = ProcessGroup(group.log)
    new.start([sys.executable, "-c", "print('new')"], os.environ)
    new.wait()
    assert (new.status, new.log.read_text()) == (0, "new\n")
