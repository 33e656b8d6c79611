"""`totes dev` as a process of its own, in a temporary home, with the databases that a test may change and ask."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from totes_dagster.local.server import EmbeddedPostgres
from totes_dagster.runtime.processes import die_with_parent
from totes_dagster_tests.ports import free_port
from totes_dagster_tests.servers import wait_until_stopped

_READY = "Press Ctrl-C to stop."
_PATIENCE = 180
_SETTINGS = ("TOTES", "WAREHOUSE", "DAGSTER", "AWS")


class Development:
    """A running `totes dev`.

    Attributes:
        home: its folder.
        url: where Dagster's UI is.
    """

    def __init__(self, home: Path, port: int, arguments: Sequence[str]) -> None:
        self.home = home
        self.url = f"http://127.0.0.1:{port}"
        self._printed: list[str] = []
        self._ready = threading.Event()
        others = {name: value for name, value in os.environ.items() if not name.startswith(_SETTINGS)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "totes_dagster.cli.commands", "dev", "--port", str(port), *arguments],
            cwd=home,
            env={**others, "TOTES_HOME": str(home), "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=die_with_parent(signal.SIGTERM),  # noqa: PLW1509 - it only makes a system call
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._printed.append(line)
            if _READY in line:
                self._ready.set()
        self._ready.set()  # it ended, and nobody should go on waiting

    def wait_until_ready(self) -> None:
        """Wait until Dagster answers."""
        assert self._ready.wait(_PATIENCE), self.said()
        assert self._process.poll() is None, self.said()

    def stop(self) -> None:
        """Stop it as Ctrl-C does, and wait until it and its database server are gone."""
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(_PATIENCE)
        finally:
            self._process.kill()
            self._reader.join()
            self._process.wait()
        wait_until_stopped(self.home / "postgres")

    def change(self, *statements: str) -> None:
        """Change the source, in one transaction."""
        with psycopg.connect(self.url_of("totesys"), options="-c lock_timeout=30s") as connection:
            for statement in statements:
                connection.execute(statement)

    def dashboard(self) -> str:
        """Where the dashboard is."""
        (address,) = re.findall(r"^Dashboard +(http://\S+)$", "".join(self._printed), re.MULTILINE)
        return str(address)

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of the warehouse."""
        with psycopg.connect(self.url_of("warehouse")) as connection:
            return connection.execute(query).fetchall()

    def said(self, lines: int = 60) -> str:
        """What it printed, and the end of Dagster's log."""
        log = self.home / "dagster.log"
        logged = log.read_text(errors="replace").splitlines(keepends=True) if log.exists() else []
        return "".join([*self._printed[-lines:], "\nThe end of dagster.log:\n", *logged[-lines:]])

    def url_of(self, name: str) -> str:
        """URL of a database: `totesys` or `warehouse`."""
        return EmbeddedPostgres(self.home / "postgres").url(name)


@contextmanager
def development(*, orders: int, rate: float, modules: Mapping[str, str] = {}) -> Iterator[Development]:
    """`totes dev` with a new company, answering; stopped at the end of the block.

    Args:
        orders: sales orders of the company.
        rate: its changes per second.
        modules: code locations beside the platform's: the texts of modules by name.
    """
    # Not pytest's own temporary folder: every new run closes that to the server's system user.
    with tempfile.TemporaryDirectory(prefix="totes-ui-") as folder:
        arguments = ["--orders", str(orders), "--rate", str(rate)]
        for name, text in modules.items():
            Path(folder, f"{name}.py").write_text(text)
            arguments += ["--module", name]
        running = Development(Path(folder), free_port(), arguments)
        try:
            running.wait_until_ready()
            yield running
        finally:
            running.stop()
