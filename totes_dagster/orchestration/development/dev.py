"""Runs `totes dev`: Dagster's UI, daemon and code server, the dashboard and the simulator beside them, until Ctrl-C."""

import fcntl
import json
import logging
import os
import signal
import socket
import sys
import sysconfig
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from totes_dagster.config import env_file, settings
from totes_dagster.errors import TotesError
from totes_dagster.local.seeding import seed_with_progress
from totes_dagster.local.stack import LocalStack, stack_home
from totes_dagster.orchestration.development.dashboard import DashboardProcess
from totes_dagster.orchestration.development.webserver import HOST, why_not_loaded
from totes_dagster.runtime.processes import ProcessGroup
from totes_dagster.runtime.terminal import console, print_labelled, waiting_for
from totes_dagster.simulator.files import FileDrops, dropping
from totes_dagster.simulator.rates_server import RatesServer
from totes_dagster.simulator.simulator import Simulator, described

if TYPE_CHECKING:
    from dagster import DagsterInstance, DagsterRun

_log = logging.getLogger(__name__)

_POLL_SECONDS = 0.2

_SECONDS_PER_FILE = 60.0
"""How often the simulated carrier drops a file."""

_CODE_SERVER = Path(sysconfig.get_path("scripts"), "totes-code-server")


def workspace(modules: Sequence[str]) -> dict[str, Any]:
    """The project's `workspace.yaml`, except that the code server is a warm one; and code locations of others.

    Args:
        modules: their modules, found from the working folder.
    """
    ours = {
        "module_name": "totes_dagster.definitions",
        "location_name": "totes_dagster",
        "executable_path": str(_CODE_SERVER),
    }
    others = [
        {"module_name": module, "location_name": module, "working_directory": str(Path.cwd())} for module in modules
    ]
    return {"load_from": [{"python_module": location} for location in (ours, *others)]}


_CONFIGURATION = """\
# No limit in practice, because machines may be slow: `totes dev` shows how long it has waited, and can be stopped.
code_servers:
  local_startup_timeout: 86400
"""


class DevelopmentServerError(TotesError):
    """Dagster did not start, could not load the platform, or exited unexpectedly."""


@dataclass(frozen=True)
class Company:
    """The simulated company of the embedded stack.

    Attributes:
        orders: its sales orders, if it is new.
        rate: its changes per second, on average; 0 for none.
        harsh: whether these include changes that are hard to capture.
    """

    orders: int
    rate: float
    harsh: bool = False


def run(company: Company, *, port: int, modules: Sequence[str] = ()) -> None:
    """Run until Ctrl-C or SIGTERM, and until everything that was started has ended; a second one kills the rest.

    Args:
        company: the simulated company, unless databases are configured.
        port: where the UI listens, on this machine only.
        modules: modules with code locations of others, to show beside the platform's.

    Raises:
        SettingsError: some settings are given, but not all.
        DevelopmentServerError: Dagster did not start, could not load a code location, or exited unexpectedly.
    """
    # Both stop everything on the way out, even if the shell has set SIGINT to be ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    local = None if settings.is_configured() else LocalStack(stack_home())
    home = stack_home()
    with _exclusive(home, port):
        dagster, dashboard = _Dagster(home, port, modules), DashboardProcess(home, port)
        try:
            _run_until_interrupted(dagster, dashboard, local, company)
        except KeyboardInterrupt:
            killed = any([dagster.processes.kill(), dashboard.processes.kill()])
            console.print("Killed the remaining processes." if killed else "Stopped waiting.")
            if local:
                console.print("PostgreSQL will stop on its own.")
            sys.exit(130)
    console.print("Stopped.")


def _run_until_interrupted(
    dagster: "_Dagster", dashboard: DashboardProcess, local: LocalStack | None, company: Company
) -> None:
    """Start everything, and stop it after an interrupt or a failure. A further interrupt is left to the caller."""
    simulation = ExitStack()
    try:
        if local:
            with console.status("Starting PostgreSQL …"):
                local.start()
            seed_with_progress(local, company.orders)
            simulation.enter_context(_outside_world(local, company, dagster.environment))
        dagster.start()
        print_labelled("Dagster's UI", f"  http://{HOST}:{dagster.port}")
        dashboard.start()
        if local and company.rate > 0:
            simulation.enter_context(_simulator(local, company))
            console.print(described(company.rate, harsh=company.harsh))
        console.print("Press Ctrl-C to stop.")
        dagster.wait()
    except KeyboardInterrupt:
        console.print("\nStopping. Press Ctrl-C again to kill the remaining processes.")
        _stop(simulation, dagster, dashboard, local)
    except BaseException:
        _stop(simulation, dagster, dashboard, local)
        raise


def _stop(simulation: ExitStack, dagster: "_Dagster", dashboard: DashboardProcess, local: LocalStack | None) -> None:
    """Stop everything that was started, and wait until it has ended."""
    simulation.close()
    dashboard.stop()
    dagster.stop()
    if local:
        with waiting_for("Waiting for PostgreSQL to stop"):
            stopped = local.stop()
        if not stopped:
            console.print("PostgreSQL keeps running, because another process is using it.")


@contextmanager
def _exclusive(home: Path, port: int) -> Iterator[None]:
    """Make sure that no other `totes dev` uses this folder, and that the port is free."""
    if not _CODE_SERVER.exists():
        raise DevelopmentServerError(f"{_CODE_SERVER} is missing. Reinstall the project with `make install`.")
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (home / "dev.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DevelopmentServerError(f"`totes dev` is already running in {home}.") from error
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((HOST, port))
            except OSError as error:
                raise DevelopmentServerError(f"Port {port} is in use. Choose another with --port.") from error
        yield


class _Dagster:
    """`dagster dev` with its home in the stack's folder.

    Args:
        home: the stack's folder.
        port: where the UI listens.
        modules: modules with code locations of others.

    Attributes:
        environment: settings of Dagster besides those of this process.
    """

    def __init__(self, home: Path, port: int, modules: Sequence[str] = ()) -> None:
        self.home = home
        self.port = port
        self.modules = modules
        self.processes = ProcessGroup(home / "dagster.log")
        self.environment: dict[str, str] = {}
        self._is_ready = False

    def start(self) -> None:
        """Start Dagster, and wait until it has loaded the platform, however long that takes.

        Raises:
            DevelopmentServerError: Dagster has exited, or could not load the platform.
        """
        records = self.home / "dagster"
        records.mkdir(mode=0o700, parents=True, exist_ok=True)
        given = os.environ.get("DAGSTER_HOME")
        if given and Path(given).resolve() != records:
            console.print(
                f"DAGSTER_HOME={given} is ignored: `totes dev` keeps Dagster's records in {records}. "
                "To use yours, run `dagster dev`.",
                soft_wrap=True,
            )
        if self.processes.is_log_in_use():
            with waiting_for("Waiting for the processes of an earlier `totes dev` to end"):
                self.processes.wait()
        configure(records)
        prepare_storage(records)
        file = records / "workspace.yaml"
        file.write_text(json.dumps(workspace(self.modules)))  # JSON is YAML
        command = [str(_CODE_SERVER), "dev", "-w", str(file), "-h", HOST, "-p", str(self.port)]
        environment = {
            settings.UI_URL: f"http://{HOST}:{self.port}",
            **os.environ,
            **self.environment,
            "DAGSTER_HOME": str(records),
            settings.HOME: str(self.home),
            env_file.ALREADY_READ: "yes",
        }
        self.processes.start(command, environment)
        log = self.processes.log
        with waiting_for(f"Waiting for Dagster to start and to load the platform; it writes to {log}"):
            while (reason := why_not_loaded(self.port)) is None:
                if self.processes.status is not None:
                    raise DevelopmentServerError(f"Dagster did not start: {_last_line(log)} See {log}.")
                time.sleep(_POLL_SECONDS)
        if reason:
            raise DevelopmentServerError(f"Dagster could not load its code locations: {reason} See {log}.")
        self._is_ready = True

    def wait(self) -> NoReturn:
        """Wait until Dagster exits, which is unexpected before `stop`.

        Raises:
            DevelopmentServerError: Dagster has exited.
        """
        status = self.processes.wait_for_program()
        raise DevelopmentServerError(f"Dagster exited unexpectedly with status {status}. See {self.processes.log}.")

    def stop(self) -> None:
        """Stop Dagster, and wait until its last process has ended. Runs in progress are finished first."""
        if not self.processes.is_running():
            return
        in_order = self._is_ready and self.processes.status is None
        runs = _runs_in_progress(self.home / "dagster") if in_order else []
        with waiting_for(f"Waiting for Dagster to end: {', '.join([*runs, 'the webserver, daemon and code server'])}"):
            if in_order:
                self.processes.interrupt()
                self.processes.wait()
            else:
                # While they start, the others would notice only after half a minute that the program has ended.
                self.processes.interrupt_all()


def configure(dagster_home: Path) -> None:
    """Write `dagster.yaml`: the file beside this module, and how long a code server may take to start."""
    common = files("totes_dagster.orchestration.development").joinpath("dagster.yaml").read_text()
    (dagster_home / "dagster.yaml").write_text(f"{common}\n{_CONFIGURATION}")


def prepare_storage(dagster_home: Path) -> None:
    """Create Dagster's storage before two processes do so at once, which fails on a new SQLite home.

    Also mark runs that are still in progress there as failed: the processes of an earlier `totes dev` have ended, which
    Dagster itself would notice only after an hour.
    """
    from dagster import DagsterInstance  # noqa: PLC0415 - slow to import

    with DagsterInstance.from_config(str(dagster_home)) as instance:
        instance.get_daemon_statuses()
        for run in _unfinished_runs(instance):
            instance.report_run_failed(run, "Its process ended with the `totes dev` that started it.")


def _runs_in_progress(dagster_home: Path) -> list[str]:
    """The runs in progress, each with its job and the start of its id, as in Dagster's UI."""
    from dagster import DagsterInstance  # noqa: PLC0415

    with DagsterInstance.from_config(str(dagster_home)) as instance:
        return [f"the {run.job_name} in progress (run {run.run_id[:8]})" for run in _unfinished_runs(instance)]


def _unfinished_runs(instance: "DagsterInstance") -> Sequence["DagsterRun"]:
    from dagster import DagsterRunStatus, RunsFilter  # noqa: PLC0415

    ended = {DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED}
    return instance.get_runs(RunsFilter(statuses=[status for status in DagsterRunStatus if status not in ended]))


@contextmanager
def _outside_world(stack: LocalStack, company: Company, environment: dict[str, str]) -> Iterator[None]:
    """What comes to the embedded stack from outside: exchange rates, and files of a carrier and the controllers.

    The rates are made up and served locally, unless `TOTES_RATES_URL` says where real ones are.

    Args:
        stack: the embedded stack, with its company.
        company: the simulated company.
        environment: Dagster's settings, to which the address of the rates is added.
    """
    with ExitStack() as world:
        if not os.environ.get(settings.RATES_URL):
            environment[settings.RATES_URL] = world.enter_context(RatesServer()).url
            console.print("Exchange rates are made up. For real ones, set TOTES_RATES_URL.", soft_wrap=True)
        if not os.environ.get(settings.LANDING):
            drops = FileDrops(stack.database_url("totesys"), stack.landing, seed=time.time_ns())
            drops.drop_history()
            if company.rate > 0:
                world.enter_context(dropping(drops, _SECONDS_PER_FILE, _log.warning))
        yield


@contextmanager
def _simulator(stack: LocalStack, company: Company) -> Iterator[None]:
    """Run the simulator in a thread during the block."""
    stop = threading.Event()

    def simulate() -> None:
        with Simulator(stack.database_url("totesys"), seed=time.time_ns(), harsh=company.harsh) as simulator:
            simulator.run(company.rate, stop)

    # A daemon thread, so that a second Ctrl-C does not wait for it.
    thread = threading.Thread(target=simulate, name="simulator", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "its log is empty.")
