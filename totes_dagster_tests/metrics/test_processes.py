"""Where metrics come out of the processes that are deployed: their own standard output, each line once and whole."""

import os
import subprocess
import sys
import sysconfig
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import psutil
import psycopg
import pytest
from dagster import DagsterInstance, DagsterRunStatus
from dagster._core.definitions.reconstruct import ReconstructableJob, ReconstructableRepository
from dagster._grpc.types import ExecuteRunArgs

from totes_dagster.definitions import defs
from totes_dagster.local.seeding import seed
from totes_dagster.schema import warehouse
from totes_dagster.settings import METRICS_NAMESPACE
from totes_dagster_tests.end_to_end.dagster_at_work import kill_all, until
from totes_dagster_tests.errors.tcp_postgres import TcpPostgres
from totes_dagster_tests.metrics.embedded_format import Point
from totes_dagster_tests.metrics.printed import NAMESPACE, Printed, values

CODE_SERVER = Path(sysconfig.get_path("scripts"), "totes-code-server")

REFRESH = {
    ("Rows", "ingest"): 1,
    ("Seconds", "ingest"): 1,
    ("Rows", "remodel"): len(warehouse.TABLES),
    ("Seconds", "remodel"): len(warehouse.TABLES),
    ("Rows", "load"): 1,
    ("Seconds", "load"): 1,
    ("QuarantinedRows", ""): 1,
    ("FreshnessLag", ""): 1,
    ("Refreshes", ""): 1,
}
"""How often a refresh prints each metric."""


def how_often(points: list[Point], *, of_the_sensor: bool = False) -> Mapping[tuple[str, str], int]:
    found = Counter((point.name, point.stage) for point in points)
    return {key: times for key, times in found.items() if (key[0] in {"FailedRuns", "OpenIncidents"}) == of_the_sensor}


@pytest.fixture
def deployed(home: Path, server: TcpPostgres, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of Dagster as it is deployed, of a company with 20 orders, with metrics asked for."""
    monkeypatch.setenv(METRICS_NAMESPACE, NAMESPACE)
    seed(server.url("totesys"), orders=20)
    return home


def start(stack: ExitStack, home: Path, name: str, *command: str) -> Printed:
    """Start a program that is gone, with all that it started, when the test ends; its standard output."""
    path = home / f"{name}.stdout"
    with path.open("ab") as stdout, (home / f"{name}.stderr").open("ab") as stderr:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)
    stack.callback(process.wait)
    stack.callback(lambda: kill_all(psutil.Process(process.pid)))
    return Printed(path)


def new_run(instance: DagsterInstance) -> list[str]:
    """A run of a refresh, and the command by which a launcher has a container do it."""
    repository = ReconstructableRepository.for_module("totes_dagster.definitions", "defs")
    origin = ReconstructableJob(repository, "refresh").get_python_origin()
    run = instance.create_run_for_job(defs.resolve_job_def("refresh"), job_code_origin=origin)
    arguments = ExecuteRunArgs(origin, run.run_id, instance.get_ref(), set_exit_code_on_failure=True)
    return [sys.executable, "-m", *arguments.get_command_args()[-4:]]


def test_a_run_in_a_process_of_its_own_prints_each_metric_once(deployed: Path, server: TcpPostgres) -> None:
    with DagsterInstance.from_config(str(deployed)) as instance:
        for rows in (None, 0):
            done = subprocess.run(new_run(instance), capture_output=True, check=True)
            path = deployed / f"{rows}.stdout"
            path.write_bytes(done.stdout)
            points = Printed(path).points()  # of which each line is a metric's, so nothing else is among them
            assert how_often(points) == REFRESH
            with psycopg.connect(server.url("warehouse")) as connection:
                counted = " + ".join(f"(select count(*) from {name})" for name in warehouse.TABLES)
                expected = connection.execute(f"select {counted}").fetchone()[0]  # type: ignore[call-overload, index]
            assert values(points, "Rows", "load") == [expected if rows is None else rows]
        assert instance.get_runs_count() == 2


def test_the_code_server_prints_what_its_sensor_and_its_runs_count(deployed: Path, bucket: str) -> None:
    with DagsterInstance.from_config(str(deployed)) as instance, ExitStack() as stack:
        instance.get_daemon_statuses()  # creates the storage, once, before several processes do
        code_server = start(
            stack,
            deployed,
            "code_server",
            *(str(CODE_SERVER), "api", "grpc", "--module-name", "totes_dagster.definitions"),
            *("--host", "127.0.0.1", "--port", os.environ["DAGSTER_CODE_SERVER_PORT"]),
        )
        daemon = start(
            stack,
            deployed,
            "daemon",
            *(sys.executable, "-m", "dagster._daemon", "run", "-w", str(deployed / "workspace.yaml")),
        )
        until(lambda: instance.get_runs_count() > 0, "the sensor to request a refresh")
        (run, *_) = instance.get_runs()
        until(lambda: instance.get_run_by_id(run.run_id).is_finished, "the refresh to end")  # type: ignore[union-attr]
        assert instance.get_run_by_id(run.run_id).status is DagsterRunStatus.SUCCESS  # type: ignore[union-attr]
        instance.report_run_failed(run)  # as somebody might who has given it up for dead
        points: list[Point] = []

        def a_failed_run_is_counted() -> bool:
            points.extend(code_server.points())
            return 1 in values(points, "FailedRuns")

        until(a_failed_run_is_counted, "the alerts sensor to look")
        assert instance.get_runs_count() == 1
        assert how_often(points) == REFRESH
        assert sum(values(points, "FailedRuns")) == 1
        assert max(values(points, "OpenIncidents")) == 1
        assert daemon.text() == ""
