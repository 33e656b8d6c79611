"""`totes dev`: Dagster's UI and daemon, and the simulator beside them, until Ctrl-C."""

import fcntl
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.resources import files
from pathlib import Path

from totes_dagster import settings
from totes_dagster.errors import TotesError
from totes_dagster.local.processes import die_with_parent
from totes_dagster.local.simulator import Simulator
from totes_dagster.local.stack import LocalStack, stack_home
from totes_dagster.terminal import console, seed_with_progress, tell

_HOST = "127.0.0.1"
_LOOK_EVERY = 0.2
_PATIENCE = 120.0
_SHUTDOWN_PATIENCE = 30.0

_CODE_SERVER = Path(sysconfig.get_path("scripts"), "totes-code-server")

WORKSPACE = {
    "load_from": [
        {
            "python_module": {
                "module_name": "totes_dagster.definitions",
                "location_name": "totes_dagster",
                "executable_path": str(_CODE_SERVER),
            }
        }
    ]
}
"""Of the project's `workspace.yaml` it differs by the code server, which is a warm one."""


_STORAGE = """\
storage:
  custom:
    module: totes_dagster.local.dagster_storage
    class: QuickSqliteStorage
    config:
      base_dir: {}
"""


class DevelopmentServerError(TotesError):
    """Dagster did not start, or ended by itself."""


def run(*, orders: int, rate: float, port: int) -> None:
    """Run until Ctrl-C or SIGTERM.

    Args:
        orders: sales orders of the simulated company, if it is new.
        rate: its changes per second; 0 for none.
        port: where the UI listens, on this machine only.

    Raises:
        DevelopmentServerError: Dagster did not start, or ended by itself.
    """
    # Either way, everything that was started is stopped on the way out; also where a shell had SIGINT ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    embedded = not settings.is_configured()
    home = stack_home()
    with ExitStack() as stack:
        stack.enter_context(_alone(home, port))
        if embedded:
            with console.status("Starting PostgreSQL …"):
                local = LocalStack(home).start()
            seed_with_progress(local, orders)
        try:
            with console.status("Starting Dagster …"):
                dagster = stack.enter_context(_dagster(home, port))
            tell("Dagster's UI", f"  http://{_HOST}:{port}")
            if embedded and rate > 0:
                stack.enter_context(_simulator(local, rate))
                console.print(f"The simulator changes totesys {rate:g} times per second.")
            console.print("Press Ctrl-C to stop.")
            status = dagster.wait()
            raise DevelopmentServerError(f"Dagster ended by itself, with status {status}. See {_log(home)}.")
        except KeyboardInterrupt:
            console.print("\nStopping …")
    console.print("Stopped.")


@contextmanager
def _alone(home: Path, port: int) -> Iterator[None]:
    """Make sure that nobody else is at work in this folder or on this port."""
    if not _CODE_SERVER.exists():
        raise DevelopmentServerError(f"{_CODE_SERVER} is missing. Install the project anew: `make install`.")
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (home / "dev.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DevelopmentServerError(f"`totes dev` is running already in {home}.") from error
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((_HOST, port))
            except OSError as error:
                raise DevelopmentServerError(f"Port {port} is taken. Choose another with --port.") from error
        yield


@contextmanager
def _dagster(home: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """`dagster dev`, started and answering; stopped at the end of the block."""
    dagster_home = home / "dagster"
    dagster_home.mkdir(mode=0o700, parents=True, exist_ok=True)
    configure(dagster_home)
    workspace = dagster_home / "workspace.yaml"
    workspace.write_text(json.dumps(WORKSPACE))  # JSON is YAML
    ui = {settings.UI_URL: f"http://{_HOST}:{port}"}
    environment = {**ui, **os.environ, "DAGSTER_HOME": str(dagster_home), settings.HOME: str(home)}
    _prepare_storage(dagster_home)
    arguments = ["dev", "-w", str(workspace), "-h", _HOST, "-p", str(port)]
    with _log(home).open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", "dagster", *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C reaches this process alone, which then stops the other in order
            preexec_fn=die_with_parent(signal.SIGINT),  # noqa: PLW1509 - it only makes a system call
        )
    try:
        _wait_until_it_answers(process, port, _log(home))
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(_SHUTDOWN_PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # with its webserver, daemon and code server
            process.wait()


def configure(dagster_home: Path) -> None:
    """Write `dagster.yaml`: the one beside this module, with the storage, whose place no file can know beforehand."""
    settings_of_all = files("totes_dagster.local").joinpath("dagster.yaml").read_text()
    storage = _STORAGE.format(json.dumps(str(dagster_home.resolve())))
    (dagster_home / "dagster.yaml").write_text(f"{settings_of_all}\n{storage}")


def _prepare_storage(dagster_home: Path) -> None:
    """Create Dagster's storage before two processes do: both at once, on a new SQLite home, fail.

    And mark runs as failed that are still in progress there. This home's lock is ours, so whoever was at work on them
    is gone; nobody else would notice for an hour.
    """
    from dagster import DagsterInstance, DagsterRunStatus, RunsFilter  # noqa: PLC0415 - slow to import

    ended = {DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED}
    in_progress = RunsFilter(statuses=[status for status in DagsterRunStatus if status not in ended])
    with DagsterInstance.from_config(str(dagster_home)) as instance:
        instance.get_daemon_statuses()
        for run in instance.get_runs(in_progress):
            instance.report_run_failed(run, "Its process ended with the `totes dev` that started it.")


def _wait_until_it_answers(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + _PATIENCE
    while not _answers(port):
        if process.poll() is not None:
            raise DevelopmentServerError(f"Dagster did not start: {_last_line(log)} See {log}.")
        if time.monotonic() > end:
            raise DevelopmentServerError(f"Dagster did not answer within {_PATIENCE:.0f} s. See {log}.")
        time.sleep(_LOOK_EVERY)


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection(_HOST, port, timeout=1)
    try:
        connection.request("GET", "/server_info")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


@contextmanager
def _simulator(stack: LocalStack, rate: float) -> Iterator[None]:
    """The company living on, in a thread."""
    stop = threading.Event()

    def live() -> None:
        with Simulator(stack.database_url("totesys"), seed=time.time_ns()) as simulator:
            simulator.run(rate, stop)

    thread = threading.Thread(target=live, name="simulator")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _log(home: Path) -> Path:
    return home / "dagster.log"


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing.")
