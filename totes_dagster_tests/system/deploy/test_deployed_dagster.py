"""Dagster as deployed with warm runs: `deploy/warm/dagster.yaml` and `deploy/workspace.yaml`, on PostgreSQL and S3.

And where metrics come out of its processes: their own standard output, each line once and whole. With a task for each
run it is tried on the infrastructure that Terraform makes, in `terraform/tests`.
"""

import os
import signal
import subprocess
import sys
import sysconfig
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import boto3
import psutil
import psycopg
import pytest
from dagster import DagsterInstance, DagsterRunStatus, RunsFilter
from dagster._core.definitions.reconstruct import ReconstructableJob, ReconstructableRepository
from dagster._grpc.types import ExecuteRunArgs

from totes_dagster.config.settings import METRICS_NAMESPACE
from totes_dagster.definitions import defs
from totes_dagster.orchestration.jobs import JOB_TAG
from totes_dagster.runtime.processes import die_with_parent
from totes_dagster.schema.registry import STAR_TABLES
from totes_dagster.simulator.seeding import seed
from totes_dagster_tests.embedded_format import Point
from totes_dagster_tests.printed import NAMESPACE, Printed, values
from totes_dagster_tests.system.deploy.conftest import PASSWORD
from totes_dagster_tests.system.end_to_end.dagster_at_work import kill_all, until
from totes_dagster_tests.tcp_postgres import TcpPostgres

pytestmark = pytest.mark.slow

CODE_SERVER = Path(sysconfig.get_path("scripts"), "totes-code-server")

REFRESH = {
    ("Rows", "ingest"): 1,
    ("Seconds", "ingest"): 1,
    ("Rows", "remodel"): len(STAR_TABLES),
    ("Seconds", "remodel"): len(STAR_TABLES),
    ("Rows", "load"): 1,
    ("Seconds", "load"): 1,
    ("QuarantinedRows", ""): 1,
    ("FreshnessLag", ""): 1,
    ("Refreshes", ""): 1,
}
"""How often a refresh that loads something prints each metric."""


def how_often(points: list[Point]) -> Mapping[tuple[str, str], int]:
    """How often each metric was printed, but for those of the alerts sensor."""
    found = Counter((point.name, point.stage) for point in points)
    return {key: times for key, times in found.items() if key[0] not in {"FailedRuns", "OpenIncidents"}}


@pytest.fixture
def deployed(home: Path, server: TcpPostgres, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of Dagster as it is deployed, of a company with 20 orders, with metrics asked for."""
    monkeypatch.setenv(METRICS_NAMESPACE, NAMESPACE)
    seed(server.url("totesys"), orders=20)
    return home


def printed_by(command: list[str], path: Path) -> list[Point]:
    """What a program has printed when it has ended, of which every line must be a document of metrics."""
    with path.open("wb") as stdout:
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=stdout, check=True)
    return Printed(path).points()


def refreshes(instance: DagsterInstance) -> int:
    """How many have succeeded."""
    return instance.get_runs_count(RunsFilter(job_name="refresh", statuses=[DagsterRunStatus.SUCCESS]))


def start(stack: ExitStack, home: Path, name: str, *command: str) -> Printed:
    """Start a program that is gone, with all that it started, when the test ends; its standard output."""
    path = home / f"{name}.stdout"
    with path.open("ab") as stdout, (home / f"{name}.stderr").open("ab") as stderr:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            preexec_fn=die_with_parent(signal.SIGTERM),  # noqa: PLW1509 - it only makes a system call
        )
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


def rows_of_warehouse(server: TcpPostgres) -> int:
    with psycopg.connect(server.url("warehouse")) as connection:
        counted = " + ".join(f"(select count(*) from {name})" for name in STAR_TABLES)
        ((rows,),) = connection.execute(f"select {counted}").fetchall()
    return int(rows)


def test_a_run_in_a_process_of_its_own_prints_each_metric_once(
    deployed: Path, server: TcpPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    with DagsterInstance.from_config(str(deployed)) as instance:
        points = printed_by(new_run(instance), deployed / "first.stdout")
        assert how_often(points) == REFRESH
        assert values(points, "Rows", "load") == [rows_of_warehouse(server)]
        # Dagster has `tail` copy what steps print, and does not wait for it.
        slow = deployed / "bin" / "tail"
        slow.parent.mkdir()
        slow.write_text("#!/bin/sh\nexec sleep 600\n")
        slow.chmod(0o755)
        monkeypatch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")
        points = printed_by(new_run(instance), deployed / "second.stdout")
        assert how_often(points) == {key: times for key, times in REFRESH.items() if key[0] != "FreshnessLag"}
        assert values(points, "Rows", "load") == [0]


def test_a_refresh_runs_on_postgresql_and_s3_and_the_code_server_prints_what_it_counts(
    deployed: Path, server: TcpPostgres, bucket: str
) -> None:
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
        until(lambda: refreshes(instance), "a refresh to succeed")
        # As somebody might who has given it up for dead; a refresh would be tried again.
        reconcile = defs.resolve_job_def("reconcile")
        instance.report_run_failed(instance.create_run_for_job(reconcile, tags={JOB_TAG: reconcile.name}))
        points: list[Point] = []

        def a_failed_run_is_counted() -> bool:
            points.extend(code_server.points(among_others=True))  # Dagster's own log
            return 1 in values(points, "FailedRuns")

        until(a_failed_run_is_counted, "the alerts sensor to look")
        # One, unless a quarter of an hour has just passed.
        times = refreshes(instance)
        # The first of them has loaded something.
        lag = ("FreshnessLag", "")
        assert how_often(points) == {key: often * times for key, often in REFRESH.items()} | {lag: 1}
        assert sum(values(points, "FailedRuns")) == 1
        assert values(points, "OpenIncidents")[-1] == 1
        assert daemon.points(among_others=True) == []
        (run, *_) = instance.get_runs(RunsFilter(job_name="refresh", statuses=[DagsterRunStatus.SUCCESS]))
        logs = f"compute-logs/storage/{run.run_id}"
        listed = boto3.client("s3").list_objects_v2(Bucket=bucket, Prefix=logs)
        assert any(found["Key"].endswith(".err") for found in listed.get("Contents", []))
    with psycopg.connect(server.url("dagster")) as connection:
        assert (run.run_id,) in connection.execute("select run_id from runs").fetchall()
    with psycopg.connect(server.url("warehouse")) as connection:
        assert connection.execute("select count(*) from current_sales_order").fetchone() == (20,)
    # SQLite would have left its files here.
    assert not (deployed / "history").exists()
    logs_of_programs = [file.read_text() for file in deployed.glob("*.std*")]
    assert len(logs_of_programs) == 4
    assert PASSWORD not in "".join(logs_of_programs)
