"""The command line, in processes of its own and in this one, and what belongs to a home of the embedded stack."""

import logging
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from click.testing import CliRunner, Result

from totes_dagster.cli.commands import main

_OURS = ("TOTES", "WAREHOUSE", "DAGSTER", "AWS")


def start(*arguments: str, cwd: str | Path | None = None, **environment: str) -> subprocess.Popen[str]:
    """Start `totes` with nothing configured but what is given."""
    return start_python("-m", "totes_dagster.cli.commands", *arguments, cwd=cwd, **environment)


def start_python(*arguments: str, cwd: str | Path | None = None, **environment: str) -> subprocess.Popen[str]:
    """Start Python with nothing configured but what is given."""
    others = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**others, "COLUMNS": "150", **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def totes(*arguments: str, cwd: str | Path | None = None, **environment: str) -> str:
    """Run `totes` to a good end; return what it printed."""
    with start(*arguments, cwd=cwd, **environment) as process:
        printed, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (0, ""), errors
    return printed


def refusal(*arguments: str, cwd: str | Path | None = None, **environment: str) -> str:
    """Run `totes` to a bad end; return the one line that it printed."""
    with start(*arguments, cwd=cwd, **environment) as process:
        printed, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert printed == ""
    (line,) = errors.splitlines()
    assert "s3cret" not in line
    return line


def run_here(*arguments: str, answer: str = "", keep: str = "", **environment: str) -> Result:
    """Run `totes` in this process, which costs no start, with nothing configured but what is given.

    Its log messages go to the standard error, as in a process of its own. `keep` is how the names of
    those settings begin that it takes from the environment.
    """
    before = dict(os.environ)
    ours = {name: None for name in before if name.startswith(_OURS) and not (keep and name.startswith(keep))}
    try:
        with _logging_as_at_the_start_of_a_process():
            return CliRunner().invoke(main, arguments, input=answer, env={**ours, "COLUMNS": "150", **environment})
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _logging_as_at_the_start_of_a_process() -> Iterator[None]:
    """Undo during the block what pytest and Dagster have set: Dagster has Alembic tell every step, for example."""
    root = logging.root
    loggers = [logger for logger in root.manager.loggerDict.values() if isinstance(logger, logging.Logger)]
    before = [(logger, logger.level, logger.disabled) for logger in loggers]
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()
    for logger in loggers:
        logger.disabled = False
        if logger.level < logging.WARNING:
            logger.setLevel(logging.NOTSET)
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        for logger, own_level, disabled in before:
            logger.setLevel(own_level)
            logger.disabled = disabled


def totes_here(*arguments: str, **environment: str) -> str:
    """Run `totes` in this process to a good end; return what it printed."""
    result = run_here(*arguments, **environment)
    assert (result.exit_code, result.stderr) == (0, ""), result.stderr
    return result.stdout


def refusal_here(*arguments: str, **environment: str) -> str:
    """Run `totes` in this process to a bad end; return the one line that it printed."""
    result = run_here(*arguments, **environment)
    assert result.exit_code == 1
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert "s3cret" not in line
    return line


def belonging_to(home: Path) -> list[psutil.Process]:
    """All processes but this one that have to do with a home: by their command line or their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            said = [*process.cmdline(), *process.environ().values()]
        except psutil.Error:
            continue
        if process.pid != os.getpid() and any(str(home) in text for text in said):
            found.append(process)
    return found


def wait_until_gone(home: Path) -> None:
    while processes := belonging_to(home):
        _, alive = psutil.wait_procs(processes, timeout=60)
        assert alive == []


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def wait_for_line(process: subprocess.Popen[str], text: str, seconds: float = 120) -> str:
    """Wait until a process prints a line with some text; return what it printed until then, and perhaps after it."""
    assert process.stdout is not None
    end = time.monotonic() + seconds
    printed = ""
    while not re.search(re.escape(text) + ".*\n", printed):
        ready, _, _ = select.select([process.stdout], [], [], max(0, end - time.monotonic()))
        more = os.read(process.stdout.fileno(), 65536).decode() if ready else ""
        assert more, f"it ended, or took too long; it printed: {printed}"
        printed += more
    return printed
