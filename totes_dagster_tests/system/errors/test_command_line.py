"""Failures as somebody sees them who runs `totes refresh`: one line that says what to do, exit status 1, no secret."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from click.testing import Result
from psycopg.conninfo import make_conninfo

from totes_dagster.config.platform import Warehouse
from totes_dagster.lake.batch_log import manifest_path
from totes_dagster.local.server import EmbeddedPostgres
from totes_dagster.postgres.database import Database
from totes_dagster.simulator.seeding import create_schema
from totes_dagster.warehouse.migrations import VERSION_TABLE, migrate
from totes_dagster_tests.integration.commands import refusal, run_here, start
from totes_dagster_tests.s3_front import Answer, in_front_of
from totes_dagster_tests.s3_front import refusal as refused
from totes_dagster_tests.tcp_postgres import PASSWORD, TcpPostgres


@pytest.fixture(scope="module")
def databases(postgres: EmbeddedPostgres) -> Iterator[dict[str, str]]:
    """An empty company, and a warehouse."""
    names = {"TOTESYS_URL": "totesys_to_refresh", "WAREHOUSE_URL": "warehouse_to_refresh"}
    for name in names.values():
        assert postgres.create_database(name)
    create_schema(postgres.url(names["TOTESYS_URL"]))
    yield {variable: postgres.url(name) for variable, name in names.items()}
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        for name in names.values():
            connection.execute(f"drop database {name} with (force)")


@pytest.fixture
def settings(databases: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """Settings of a platform that works."""
    return {
        **databases,
        "TOTES_INGESTION_LAKE": (tmp_path / "ingestion").as_uri(),
        "TOTES_PROCESSED_LAKE": (tmp_path / "processed").as_uri(),
    }


def refresh(settings: Mapping[str, str]) -> Result:
    return run_here("refresh", keep="AWS", **settings)


def assert_said(settings: Mapping[str, str], beginning: str, *words: str) -> None:
    done = refresh(settings)
    assert done.exit_code == 1, done.stderr
    assert not done.stdout
    (line,) = done.stderr.splitlines()
    assert line.startswith(beginning)
    for word in words:
        assert word in line
    for secret in (PASSWORD, quote(PASSWORD, safe=""), "s3cret"):
        assert secret not in line


def at(server: TcpPostgres, *, password: str = PASSWORD, database: str = "postgres", query: str = "") -> str:
    return f"postgresql://reader:{quote(password, safe='')}@127.0.0.1:{server.port}/{database}?{query}"


def test_the_platform_works_that_the_others_break(settings: dict[str, str]) -> None:
    with start("refresh", **settings) as process:
        _, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (0, "")


def test_an_unknown_host(settings: dict[str, str]) -> None:
    wrong = {**settings, "TOTESYS_URL": "postgresql://reader:s3cret@no-such-host.invalid/totesys"}
    assert_said(wrong, "HostUnknownError: Cannot connect to totesys: ", "TOTESYS_URL")
    # The others are tried in this process only.
    assert refusal("refresh", **wrong) == refresh(wrong).stderr.strip()


def test_a_refused_password(settings: dict[str, str], server: TcpPostgres) -> None:
    url = at(server, password="s3cret")
    assert_said({**settings, "TOTESYS_URL": url}, "LoginRefusedError: ", 'authentication failed for user "reader"')


def test_a_server_without_tls(settings: dict[str, str], server: TcpPostgres) -> None:
    url = at(server, query="sslmode=verify-full")
    assert_said({**settings, "TOTESYS_URL": url}, "EncryptionError: ", "server does not support SSL")


def test_a_right_that_is_lacking(settings: dict[str, str]) -> None:
    with psycopg.connect(settings["TOTESYS_URL"], autocommit=True) as connection:
        connection.execute("create role without_rights login")
    try:
        url = make_conninfo(settings["TOTESYS_URL"], user="without_rights")
        assert_said({**settings, "TOTESYS_URL": url}, "AccessDeniedError: ", "permission denied for table", "Grant")
    finally:
        with psycopg.connect(settings["TOTESYS_URL"], autocommit=True) as connection:
            connection.execute("drop role without_rights")


def test_a_missing_secret(settings: dict[str, str], bucket: str) -> None:
    del settings["TOTESYS_URL"]
    assert_said(
        {**settings, "TOTESYS_SECRET_ID": "nowhere"}, "SecretMissingError: The secret nowhere ", "Check its name"
    )


def test_a_missing_bucket(settings: dict[str, str], bucket: str) -> None:
    lake = "s3://no-such-bucket/ingestion"
    assert_said({**settings, "TOTES_INGESTION_LAKE": lake}, f"BucketMissingError: The lake {lake} could not ", "Create")


@pytest.mark.parametrize(
    ("answer", "beginning"),
    [
        (refused(301, "PermanentRedirect", "The bucket must be addressed elsewhere."), "WrongRegionError: "),
        (refused(503, "SlowDown", "Please reduce your request rate."), "LakeUnavailableError: "),
    ],
    ids=["wrong region", "unavailable"],
)
def test_a_bucket_that_turns_away(settings: dict[str, str], bucket: str, answer: Answer, beginning: str) -> None:
    with in_front_of("http://nowhere", lambda *_: answer) as endpoint:
        environment = {"AWS_ENDPOINT_URL": endpoint, "TOTES_RETRY_SECONDS": "0"}
        assert_said({**settings, **environment, "TOTES_INGESTION_LAKE": f"s3://{bucket}"}, beginning, f"s3://{bucket}")


def test_a_manifest_of_the_future(settings: dict[str, str], tmp_path: Path) -> None:
    manifest = tmp_path / "ingestion" / manifest_path(1)
    manifest.parent.mkdir(parents=True)
    manifest.write_bytes(b'{"format": 2}')
    assert_said(settings, "ManifestFormatError: The manifest ", manifest_path(1), "Upgrade the platform.")


def test_a_warehouse_of_the_future(settings: dict[str, str]) -> None:
    warehouse = Database("warehouse", settings["WAREHOUSE_URL"])
    migrate(Warehouse(warehouse, "future"))
    with warehouse.connect() as connection:
        connection.execute(f"update future.{VERSION_TABLE} set version_num = '9999'")
    assert_said(
        {**settings, "WAREHOUSE_SCHEMA": "future"}, "WarehouseAheadError: ", "revision 9999", "Upgrade the platform."
    )


def test_a_retry_is_told_in_a_line_of_its_own(settings: dict[str, str], server: TcpPostgres) -> None:
    url = f"postgresql://limited@127.0.0.1:{server.port}/postgres"
    done = refresh({**settings, "TOTESYS_URL": url, "TOTES_RETRY_SECONDS": "1.1"})
    first, *_, last = done.stderr.splitlines()
    assert "Ingest failed, trying again in " in first
    assert last.startswith("DatabaseUnavailableError: Cannot connect to totesys: ")
    assert all("too many connections" in line for line in done.stderr.splitlines())
