"""What only looks makes nothing: no folder, no file, no server, no table."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from totes_dagster.config.platform import Warehouse
from totes_dagster.local.server import EmbeddedPostgres
from totes_dagster.postgres.database import Database
from totes_dagster.schema.views import VIEWS
from totes_dagster.warehouse.migrations import migrate
from totes_dagster_tests.integration.commands import refusal_here, run_here, totes, totes_here, wait_until_gone
from totes_dagster_tests.servers import FAST_SETTINGS

TOPIC = "arn:aws:sns:eu-west-2:123456789012:alerts"
NOTHING = "Nothing here yet. Run `totes demo` or `totes dev`."


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to be in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_status_of_nothing_is_one_line_and_makes_nothing(here: Path) -> None:
    assert totes_here("status") == f"{NOTHING}\n"
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("command", ["reconcile", "latency", "migrate"])
def test_a_command_that_needs_a_stack_makes_none(command: str, here: Path) -> None:
    assert refusal_here(command) == f"NothingHereError: {NOTHING}"
    assert list(here.iterdir()) == []


def test_describing_the_lake_makes_nothing(here: Path) -> None:
    assert totes_here("glue").startswith("{")
    assert list(here.iterdir()) == []


@pytest.mark.slow
def test_validating_the_definitions_makes_nothing(tmp_path: Path) -> None:
    others = {name: value for name, value in os.environ.items() if not name.startswith(("TOTES", "WAREHOUSE"))}
    command = (sys.executable, "-m", "dagster", "definitions", "validate", "-m", "totes_dagster.definitions")
    done = subprocess.run(command, cwd=tmp_path, env=others, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_server_without_a_company_is_nothing_and_is_left_as_it_is() -> None:
    with tempfile.TemporaryDirectory(prefix="totes-cli-") as folder:
        with EmbeddedPostgres(Path(folder) / "postgres", FAST_SETTINGS) as server:
            assert totes("status", TOTES_HOME=folder) == f"{NOTHING}\n"
            assert server.create_database("totesys")
            assert server.create_database("warehouse")
            assert totes("status", TOTES_HOME=folder) == f"{NOTHING}\n"
            for name in ("totesys", "warehouse"):
                with psycopg.connect(server.url(name)) as connection:
                    found = connection.execute("select from pg_class where relnamespace = 'public'::regnamespace")
                    assert found.rowcount == 0
        wait_until_gone(Path(folder))
        assert [path.name for path in Path(folder).iterdir()] == ["postgres"]


def test_the_status_of_a_configured_platform_makes_neither_lake_nor_tables(
    source: str, database: Callable[..., str], tmp_path: Path
) -> None:
    warehouse = database("warehouse")
    zones = {name: tmp_path / name for name in ("ingestion", "processed")}
    settings = {
        "TOTESYS_URL": source,
        "WAREHOUSE_URL": warehouse,
        "TOTES_INGESTION_LAKE": zones["ingestion"].as_uri(),
        "TOTES_PROCESSED_LAKE": zones["processed"].as_uri(),
    }
    for zone in zones.values():
        line = refusal_here("status", **settings)
        assert line.startswith(f"LakeFolderMissingError: The lake {zone.as_uri()} does not exist: ")
        assert not zone.exists()
        zone.mkdir(mode=0o700)
    assert "The warehouse is empty." in totes_here("status", **settings)
    assert [list(zone.iterdir()) for zone in zones.values()] == [[], []]
    with psycopg.connect(warehouse) as connection:
        found = connection.execute("select from pg_class where relnamespace = 'public'::regnamespace")
        assert found.rowcount == 0


def test_the_doctor_names_everything_that_is_wrong_at_once(database: Callable[..., str], tmp_path: Path) -> None:
    found = run_here(
        "doctor",
        TOTESYS_URL=database("empty"),
        WAREHOUSE_URL="postgresql://writer:s3cret@127.0.0.1:9/warehouse",
        TOTES_INGESTION_LAKE=(tmp_path / "nowhere").as_uri(),
        TOTES_PROCESSED_LAKE=tmp_path.as_uri(),
    )
    assert found.exit_code == 1
    assert "s3cret" not in found.output
    problems = [line.split(maxsplit=2)[1:] for line in found.stdout.splitlines() if line.startswith("problem")]
    assert [(what, text[:24]) for what, text in problems] == [
        ("totesys", "totesys: expected its 11"),
        ("ingestion", "LakeFolderMissingError: "),
        ("warehouse", "PortClosedError: Cannot "),
    ]
    assert list(tmp_path.iterdir()) == []


def test_the_doctor_of_nothing_says_how_to_begin(here: Path) -> None:
    assert f"note    settings  {NOTHING}" in totes_here("doctor").splitlines()
    assert list(here.iterdir()) == []


def test_the_doctor_reads_and_says_what_the_users_lack(
    source: str, database: Callable[..., str], tmp_path: Path
) -> None:
    warehouse = database("warehouse")
    with psycopg.connect(warehouse) as connection:
        connection.execute("drop role if exists guest; create role guest login")
        connection.execute("revoke create on schema public from public")
    found = run_here(
        "doctor",
        TOTESYS_URL=source,
        WAREHOUSE_URL=make_conninfo(warehouse, user="guest"),
        TOTES_INGESTION_LAKE=tmp_path.as_uri(),
        TOTES_PROCESSED_LAKE=tmp_path.as_uri(),
    )
    assert found.exit_code == 1
    assert "note    totesys   the user may change address, counterparty, " in found.stdout
    assert "problem warehouse the user may not create tables in the schema public; see deploy/roles" in found.stdout
    with psycopg.connect(warehouse) as connection:
        assert connection.execute("select from pg_class where relnamespace = 'public'::regnamespace").rowcount == 0
        connection.execute("drop role guest")


def test_the_doctor_names_a_warehouse_of_another_lake_and_one_that_accepts_no_writes(
    source: str, database: Callable[..., str], tmp_path: Path
) -> None:
    warehouse = database("warehouse")
    zones = {name: (tmp_path / name).as_uri() for name in ("ingestion", "processed", "other")}
    for folder in zones:
        (tmp_path / folder).mkdir()
    settings = {
        "TOTESYS_URL": source,
        "WAREHOUSE_URL": warehouse,
        "TOTES_INGESTION_LAKE": zones["ingestion"],
        "TOTES_PROCESSED_LAKE": zones["processed"],
    }
    totes_here("refresh", **settings)
    assert "problem" not in totes_here("doctor", **settings)
    with psycopg.connect(warehouse, autocommit=True) as connection:
        connection.execute(
            "do $$ begin execute format('alter database %I set default_transaction_read_only = on', "
            "current_database()); end $$"
        )
    found = run_here("doctor", **{**settings, "TOTES_INGESTION_LAKE": zones["other"]})
    assert found.exit_code == 1
    assert [line[8:] for line in found.stdout.splitlines() if line.startswith("problem")] == [
        "warehouse the server accepts no writes: it is a standby, or was made read-only",
        "warehouse its newest batch, 1, is not of this lake; check TOTES_INGESTION_LAKE and WAREHOUSE_URL",
    ]


def test_the_doctor_looks_at_the_reader_also_where_there_is_nothing_else(database: Callable[..., str]) -> None:
    warehouse = database("warehouse")
    migrate(Warehouse(Database("warehouse", warehouse)))
    with psycopg.connect(warehouse, autocommit=True) as connection:
        connection.execute("drop role if exists guest; create role guest login")
        connection.execute(
            sql.SQL("grant select on {} to guest").format(sql.SQL(", ").join(map(sql.Identifier, VIEWS)))
        )
        guest = {"WAREHOUSE_READER_URL": make_conninfo(warehouse, user="guest")}

        def said(**settings: str) -> list[str]:
            lines = run_here("doctor", **settings).stdout.splitlines()
            return [f"{line[:8]}{line[18:]}" for line in lines if line[8:].startswith("reader")][1:]

        assert said(**guest) == ["ok      the user may read all views of the schema public"]
        connection.execute("revoke select on sale, settlement from guest; grant insert on dim_staff to guest")
        assert said(**guest) == [
            "problem the user may not read sale, settlement; run the script of its role in deploy/roles again",
            "note    the user may change the warehouse, although it only queries it",
        ]
        assert said(**guest, WAREHOUSE_SCHEMA="elsewhere")[0].startswith("note    the schema elsewhere has no as_of, ")
        found = run_here("doctor", WAREHOUSE_READER_URL=make_conninfo(warehouse, user="nobody", password="s3cret"))
        assert "problem reader    " in found.stdout
        assert "s3cret" not in found.output
        connection.execute("drop owned by guest; drop role guest")


@pytest.mark.parametrize(
    ("settings", "lines"),
    [
        ({}, ["ok      written to the sensor's log; TOTES_ALERT_TOPIC sends them by SNS"]),
        (
            {"TOTES_ALERT_TOPIC": TOPIC},
            [
                f"ok      published to {TOPIC} in eu-west-2; that was not tried",
                "note    their links lead to this machine; set TOTES_UI_URL",
            ],
        ),
        (
            {"TOTES_ALERT_TOPIC": TOPIC, "TOTES_UI_URL": "https://dagster.example.com/"},
            [
                f"ok      published to {TOPIC} in eu-west-2; that was not tried",
                "ok      their links lead to https://dagster.example.com",
            ],
        ),
        (
            {"TOTES_ALERT_TOPIC": "alerts"},
            [
                "problem SettingsError: TOTES_ALERT_TOPIC is 'alerts'. That is not the ARN of an SNS topic, which "
                "looks like arn:aws:sns:eu-west-2:123456789012:alerts."
            ],
        ),
    ],
    ids=["no topic", "no address", "both", "not a topic"],
)
def test_the_doctor_says_where_alerts_go(settings: dict[str, str], lines: list[str], here: Path) -> None:
    found = run_here("doctor", **settings)
    alerts = [f"{line[:8]}{line[18:]}" for line in found.stdout.splitlines() if line[8:].startswith("alerts")]
    assert alerts == lines
    assert found.exit_code == int(lines[0].startswith("problem"))


def test_the_doctor_names_the_packages_that_the_dashboard_lacks(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "ok      dashboard its packages are installed" in totes_here("doctor")

    def installed(package: str) -> str:
        if package in {"altair", "uvicorn"}:
            raise PackageNotFoundError
        return version(package)

    monkeypatch.setattr("totes_dagster.doctor.version", installed)
    line = "note    dashboard not installed: altair, uvicorn; to have it, pip install 'totes-dagster[dashboard]'"
    assert line in totes_here("doctor")


def test_the_doctor_tells_a_monitor_the_same(here: Path) -> None:
    found = run_here("doctor", "--json", TOTES_ALERT_TOPIC="alerts")
    told = json.loads(found.stdout)
    assert (found.exit_code, told["is_healthy"]) == (1, False)
    assert [(each["what"], each["health"]) for each in told["findings"]] == [
        ("platform", "ok"),
        ("settings", "note"),
        ("dashboard", "ok"),
        ("alerts", "problem"),
    ]
    healthy = run_here("doctor", "--json", "--quiet")
    assert (healthy.exit_code, json.loads(healthy.stdout)["is_healthy"]) == (0, True)
