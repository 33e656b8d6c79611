"""Dagster as deployed with warm runs: `deploy/warm/dagster.yaml` and `deploy/workspace.yaml`, on PostgreSQL and S3.

With a task for each run it is tried on the infrastructure that Terraform makes, in `terraform/tests`.
"""

import os
import signal
import subprocess
import sys
import sysconfig
from contextlib import ExitStack
from pathlib import Path

import boto3
import psutil
import psycopg
import yaml
from dagster import DagsterInstance, DagsterRunStatus

from totes_dagster.orchestration.development.processes import die_with_parent
from totes_dagster.simulator.seeding import seed
from totes_dagster_tests.system.deploy.conftest import DEPLOY, PASSWORD
from totes_dagster_tests.system.end_to_end.dagster_at_work import kill_all, until
from totes_dagster_tests.tcp_postgres import TcpPostgres

LOCAL = DEPLOY.parent / "totes_dagster" / "orchestration" / "development"


def start(stack: ExitStack, log: Path, *command: str) -> None:
    """Start a program that is gone, with all that it started, when the test ends."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            preexec_fn=die_with_parent(signal.SIGTERM),  # noqa: PLW1509 - it only makes a system call
        )
    stack.callback(process.wait)
    stack.callback(lambda: kill_all(psutil.Process(process.pid)))


def test_a_refresh_runs_where_dagster_keeps_everything_in_postgresql_and_s3(
    home: Path, server: TcpPostgres, bucket: str
) -> None:
    seed(server.url("totesys"), orders=20)
    code_server = Path(sysconfig.get_path("scripts"), "totes-code-server")
    with DagsterInstance.from_config(str(home)) as instance, ExitStack() as stack:
        instance.get_daemon_statuses()  # creates the storage, once, before several processes do
        start(
            stack,
            home / "code_server.log",
            *(str(code_server), "api", "grpc", "--module-name", "totes_dagster.definitions"),
            *("--host", "127.0.0.1", "--port", os.environ["DAGSTER_CODE_SERVER_PORT"]),
        )
        start(
            stack,
            home / "daemon.log",
            *(sys.executable, "-m", "dagster._daemon", "run", "-w", str(home / "workspace.yaml")),
        )
        until(lambda: instance.get_runs_count() > 0, "the sensor to request a refresh")
        (run, *_) = instance.get_runs()
        until(lambda: instance.get_run_by_id(run.run_id).is_finished, "the refresh to end")  # type: ignore[union-attr]
        assert instance.get_run_by_id(run.run_id).status is DagsterRunStatus.SUCCESS  # type: ignore[union-attr]
        logs = f"compute-logs/storage/{run.run_id}"
        listed = boto3.client("s3").list_objects_v2(Bucket=bucket, Prefix=logs)
        assert any(found["Key"].endswith(".err") for found in listed.get("Contents", []))
    with psycopg.connect(server.url("dagster")) as connection:
        assert (run.run_id,) in connection.execute("select run_id from runs").fetchall()
    with psycopg.connect(server.url("warehouse")) as connection:
        assert connection.execute("select count(*) from current_sales_order").fetchone() == (20,)
    # SQLite would have left its files here.
    assert not (home / "history").exists()
    assert PASSWORD not in (home / "code_server.log").read_text() + (home / "daemon.log").read_text()


def test_all_configurations_of_dagster_agree_but_for_where_things_are_kept_and_how_runs_start() -> None:
    ecs, warm, local = (
        yaml.safe_load((folder / "dagster.yaml").read_text()) for folder in (DEPLOY, DEPLOY / "warm", LOCAL)
    )
    assert warm.keys() - local.keys() == {"storage", "compute_logs"}
    assert {name: warm[name] for name in local} == local
    assert ecs.keys() - warm.keys() == {"run_launcher"}
    # A task takes a minute to start, and on a bad day some.
    assert ecs["run_monitoring"].pop("start_timeout_seconds") > warm["run_monitoring"].pop("start_timeout_seconds")
    assert {name for name in warm if warm[name] != ecs[name]} == {"run_coordinator"}
