"""Runs the dashboard as a process beside Dagster, if its packages are installed."""

import http.client
import os
import socket
import sys
import time
from importlib.util import find_spec
from pathlib import Path

from totes_dagster.config import env_file, settings
from totes_dagster.orchestration.development.webserver import HOST
from totes_dagster.runtime.processes import ProcessGroup
from totes_dagster.runtime.terminal import console, print_labelled, waiting_for

_PACKAGES = ("altair", "starlette", "uvicorn", "vl_convert")
_POLL_SECONDS = 0.1
_TIMEOUT = 5  # seconds; the question is repeated


class DashboardProcess:
    """`totes dashboard` as a process of its own.

    Args:
        home: the stack's folder, which gets its log.
        beside: the port of Dagster's UI. The dashboard takes the next one, or any other if that is in use.
    """

    def __init__(self, home: Path, beside: int) -> None:
        self.processes = ProcessGroup(home / "dashboard.log")
        self._home = home
        self._beside = beside

    def start(self) -> None:
        """Start it, wait until it answers, and print its address. If it cannot be started, say so and go on."""
        if any(find_spec(name) is None for name in _PACKAGES):
            console.print(
                "The dashboard is not installed. To have it: pip install 'totes-dagster[dashboard]'.", soft_wrap=True
            )
            return
        self.processes.wait()  # for that of an earlier `totes dev`
        port = free_port(self._beside + 1)
        command = [sys.executable, "-m", "totes_dagster.cli.commands", "dashboard", "--port", str(port)]
        environment = {**os.environ, settings.HOME: str(self._home), env_file.ALREADY_READ: "yes"}
        self.processes.start(command, environment)
        with waiting_for("Waiting for the dashboard to start"):
            while not _answers(port):
                if self.processes.status is not None:
                    console.print(f"The dashboard did not start. See {self.processes.log}.", soft_wrap=True)
                    return
                time.sleep(_POLL_SECONDS)
        print_labelled("Dashboard", f"  http://{HOST}:{port}")

    def stop(self) -> None:
        """Stop it, and wait until it has ended."""
        self.processes.interrupt_all()


def free_port(wanted: int) -> int:
    """The port that is wanted, or another one if it is in use."""
    for port in (wanted, 0) if wanted <= 65535 else (0,):  # noqa: PLR2004 - the last port
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((HOST, port))
            except OSError:
                continue
            return int(listener.getsockname()[1])
    return wanted


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=_TIMEOUT)
    try:
        connection.request("GET", "/alive")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
