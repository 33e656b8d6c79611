"""No secret shows in anything that a run leaves behind, whether it succeeds or fails.

Everything runs once, in processes that are told a secret of its own in every place that one can come from. Then all
that is left is searched: what they printed, what Dagster remembers, every file, every object of the lake, and the
databases' log.
"""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import boto3
import psycopg
import pytest

from totes_dagster_tests.s3_front import in_front_of
from totes_dagster_tests.system.security import failing_dagster
from totes_dagster_tests.system.security.bad_company import breaking_off, refuse_loudly
from totes_dagster_tests.system.security.planted_secrets import Planted, contents, found, rows_of_part
from totes_dagster_tests.system.security.secured_postgres import SecuredPostgres
from totes_dagster_tests.system.security.watched_runs import DAGSTER, TOTES, Ended, Watch
from totes_dagster_tests.wires import listening

pytestmark = pytest.mark.slow

TOTESYS, WAREHOUSE, MANAGED, IN_PGPASSWORD = map(Planted, ("totesys", "warehouse", "managed", "pgpassword"))
KEY, TOKEN, WRONG = map(Planted, ("awskey", "awstoken", "wrong"))
SECRETS = (TOTESYS, WAREHOUSE, MANAGED, IN_PGPASSWORD, KEY, TOKEN, WRONG)

BUCKET = "totes-secrets"

EXPECTED = {
    "refresh": (0, "Loaded batch 1"),
    "reconcile": (0, "1 of "),
    "status": (0, "The warehouse shows the source as it is now."),
    "migrate": (0, "The warehouse is at revision"),
    "dagster": (0, "RUN_SUCCESS"),
    "wrong password": (1, "LoginRefusedError: Cannot connect to totesys: "),
    "password as it is": (1, "SettingsError: The URL of totesys is not a valid libpq URI"),
    "server breaks off": (1, "DatabaseUnavailableError: "),
    "no such bucket": (1, "BucketMissingError: "),
    "lake refuses": (1, "LakeAccessDeniedError: "),
    "secret refused": (1, "SecretAccessDeniedError: "),
    "secret is no JSON": (1, "SecretFormatError: "),
    "failing dagster": (0, "1 runs requested, success of the run: False"),
}
"""How each run must end, and what it must have said: or it did not come to what it is there for."""


@dataclass(frozen=True)
class Evidence:
    """What is left of the runs."""

    folder: Path
    ended: dict[str, Ended]
    objects: dict[str, bytes]
    log: bytes


class Runs:
    """All that is run, on one source and one warehouse."""

    def __init__(self, server: SecuredPostgres, company: str, endpoint: str, folder: Path) -> None:
        self.server = server
        self.source, self.warehouse = server.new_database("totesys", template=company), server.new_database("warehouse")
        reader = server.make_role("totesys_reader", self.source, TOTESYS.text)
        managed = server.make_role("totesys_reader", self.source, MANAGED.text)
        loader = server.make_role("warehouse_loader", self.warehouse, WAREHOUSE.text)
        self.analyst = server.make_role("warehouse_reader", self.warehouse, IN_PGPASSWORD.text, loader=loader)
        secret = {"host": "127.0.0.1", "port": server.port, "database": self.source, "password": MANAGED.text}
        credentials: dict[str, Any] = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        self.s3 = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", **credentials)
        self.s3.create_bucket(Bucket=BUCKET)
        secrets = boto3.client("secretsmanager", endpoint_url=endpoint, region_name="us-east-1", **credentials)
        secrets.create_secret(Name="totesys", SecretString=json.dumps({**secret, "user": managed}))
        secrets.create_secret(Name="broken", SecretString=json.dumps(secret)[:-1])
        self.watch = Watch(
            folder,
            {
                "TOTESYS_URL": server.uri(reader, TOTESYS.text, self.source),
                "WAREHOUSE_URL": server.uri(loader, WAREHOUSE.text, self.warehouse),
                "TOTES_INGESTION_LAKE": f"s3://{BUCKET}/ingestion",
                "TOTES_PROCESSED_LAKE": f"s3://{BUCKET}/processed",
                "AWS_ENDPOINT_URL": endpoint,
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_ACCESS_KEY_ID": "test",
                "AWS_SECRET_ACCESS_KEY": KEY.text,
                "AWS_SESSION_TOKEN": TOKEN.of_ascii,
                "PGPASSWORD": IN_PGPASSWORD.text,
            },
        )
        self.wrong = server.uri(reader, WRONG.text, self.source)

    def good(self) -> dict[str, Ended]:
        """What succeeds, in an order in which each has something to do."""
        run, ended = self.watch.run, {}
        ended["refresh"] = run("refresh", (*TOTES, "refresh"))
        with psycopg.connect(self.server.url(self.warehouse)) as connection:
            connection.execute("update dim_staff set first_name = 'Nobody' where staff_id = 1")
        ended["reconcile"] = run("reconcile", (*TOTES, "reconcile"))
        ended["status"] = run("status", (*TOTES, "status"), TOTESYS_URL="", TOTESYS_SECRET_ID="totesys")
        # The password is where libpq looks for it last.
        url = f"postgresql://{self.analyst}@127.0.0.1:{self.server.port}/{self.warehouse}"
        ended["migrate"] = run("migrate", (*TOTES, "migrate"), WAREHOUSE_URL=url)
        with self.server.administrator(self.source) as connection:
            connection.execute("update staff set first_name = 'Zoë' where staff_id = 2")
        ended["dagster"] = run("dagster", (*DAGSTER, "refresh"), TOTESYS_URL="", TOTESYS_SECRET_ID="totesys")
        return ended

    def bad(self) -> dict[str, Ended]:
        """What fails."""
        ended = {}

        def refresh(name: str, **settings: str) -> None:
            ended[name] = self.watch.run(name, (*TOTES, "refresh"), **settings)

        good, endpoint = self.watch.settings["TOTESYS_URL"], self.watch.settings["AWS_ENDPOINT_URL"]
        refresh("wrong password", TOTESYS_URL=self.wrong)
        refresh("password as it is", TOTESYS_URL=f"postgresql://reader:{TOTESYS.text}@127.0.0.1/totesys")
        refresh("no such bucket", TOTES_INGESTION_LAKE="s3://no-such-bucket")
        with listening(breaking_off(self.server.port)) as wire:
            refresh("server breaks off", TOTESYS_URL=good.replace(f":{self.server.port}/", f":{wire.port}/"))
        with in_front_of(endpoint, refuse_loudly) as front:
            refresh("lake refuses", AWS_ENDPOINT_URL=front)
            refresh("secret refused", AWS_ENDPOINT_URL=front, TOTESYS_URL="", TOTESYS_SECRET_ID="totesys")
        refresh("secret is no JSON", TOTESYS_URL="", TOTESYS_SECRET_ID="broken")
        name = "failing dagster"
        ended[name] = self.watch.run(name, (failing_dagster.__file__,), TOTESYS_URL=self.wrong)
        return ended

    def objects(self) -> dict[str, bytes]:
        """All objects of the lake, by name."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        names = [listed["Key"] for page in pages for listed in page["Contents"]]
        return {name: self.s3.get_object(Bucket=BUCKET, Key=name)["Body"].read() for name in names}


@pytest.fixture(scope="module")
def evidence(
    server: SecuredPostgres, company: str, object_store: str, tmp_path_factory: pytest.TempPathFactory
) -> Evidence:
    since = server.log.stat().st_size
    runs = Runs(server, company, object_store, tmp_path_factory.mktemp("runs"))
    with ThreadPoolExecutor(2) as pool:
        good, bad = pool.submit(runs.good), pool.submit(runs.bad)
        ended = good.result() | bad.result()
    return Evidence(runs.watch.folder, ended, runs.objects(), server.log.read_bytes()[since:])


@pytest.mark.parametrize("name", EXPECTED)
def test_the_runs_end_as_they_should(evidence: Evidence, name: str) -> None:
    status, words = EXPECTED[name]
    ended = evidence.ended[name]
    assert ended.status == status, ended.err
    assert words in ended.out + ended.err


def test_no_secret_is_printed_or_written(evidence: Evidence) -> None:
    names = []
    for name, data in contents(evidence.folder):
        names.append(name)
        assert found(SECRETS, name, data) == []
    for kind in ("stderr", "runs.db, unpacked", "schedules.db, unpacked", "compute_logs/*.err"):
        assert any(PurePath(name).match(kind) for name in names), kind


def test_no_secret_is_in_the_lake(evidence: Evidence) -> None:
    assert any(name.endswith(".json") for name in evidence.objects)
    for name, data in evidence.objects.items():
        assert found(SECRETS, name, data + rows_of_part(data) if name.endswith(".parquet") else data) == []


def test_no_secret_is_in_the_servers_log(evidence: Evidence) -> None:
    assert b"pg_export_snapshot" in evidence.log
    assert found(SECRETS, "the log", evidence.log) == []
