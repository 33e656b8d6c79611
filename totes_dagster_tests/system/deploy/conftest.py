"""What the deployed Dagster finds: PostgreSQL, an object store, and what the environment says."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from totes_dagster_tests.ports import free_port
from totes_dagster_tests.servers import FAST_SETTINGS, server_folder
from totes_dagster_tests.system.deploy.aws_cli import TASK, Aws
from totes_dagster_tests.tcp_postgres import TcpPostgres

DEPLOY = Path(__file__).parents[3] / "deploy"

PASSWORD = "p@ss:w0rd%"


@pytest.fixture
def server() -> Iterator[TcpPostgres]:
    """A server with a database for Dagster, whose owner has to say a password."""
    with server_folder() as folder, TcpPostgres(folder, FAST_SETTINGS) as running:
        with psycopg.connect(running.url(), autocommit=True) as connection:
            connection.execute(f"create role dagster login password '{PASSWORD}'")
            connection.execute("create database dagster owner dagster")
            (running.data / "pg_hba.conf").write_text("local all all trust\nhost all all all scram-sha-256\n")
            connection.execute("select pg_reload_conf()")
        yield running


@pytest.fixture
def home(server: TcpPostgres, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """DAGSTER_HOME, with everything that the environment has to say."""
    for database in ("totesys", "warehouse"):
        server.create_database(database)
    settings = {
        "DAGSTER_HOME": str(tmp_path),
        "DAGSTER_POSTGRES_HOST": "127.0.0.1",
        "DAGSTER_POSTGRES_PORT": str(server.port),
        "DAGSTER_POSTGRES_USER": "dagster",
        "DAGSTER_POSTGRES_PASSWORD": PASSWORD,
        "DAGSTER_POSTGRES_DB": "dagster",
        "DAGSTER_COMPUTE_LOG_BUCKET": bucket,
        "DAGSTER_CODE_SERVER_HOST": "127.0.0.1",
        "DAGSTER_CODE_SERVER_PORT": str(free_port()),
        "TOTESYS_URL": server.url("totesys"),
        "WAREHOUSE_URL": server.url("warehouse"),
        "TOTES_INGESTION_LAKE": f"s3://{bucket}/ingestion",
        "TOTES_PROCESSED_LAKE": f"s3://{bucket}/processed",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    shutil.copy(DEPLOY / "warm" / "dagster.yaml", tmp_path)
    shutil.copy(DEPLOY / "workspace.yaml", tmp_path)
    return tmp_path


@pytest.fixture
def aws(tmp_path: Path) -> Aws:
    aws = Aws(tmp_path)
    aws.answer("run-task", {"tasks": [{"taskArn": TASK}], "failures": []})
    aws.answer("get-log-events", {"events": [{"message": "one refresh"}]})
    return aws
