"""The command line: what it prints, how it ends, and that it leaves nothing running.

It runs in processes of its own where that matters, and in this one where it prints a line.
"""

import json
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import psycopg
import pytest

from totes_dagster.local.server import EmbeddedPostgres
from totes_dagster.warehouse.migrations import HEAD
from totes_dagster_tests.integration.commands import (
    refusal_here,
    run_here,
    start,
    totes,
    totes_here,
    wait_for,
    wait_until_gone,
)
from totes_dagster_tests.servers import FAST_SETTINGS
from totes_dagster_tests.settings import ALL

PROJECT = Path(__file__).parents[3]

UNREACHABLE = {
    **ALL,
    "TOTESYS_URL": "postgresql://reader:s3cret@127.0.0.1:9/totesys",
    "WAREHOUSE_URL": "postgresql://writer:s3cret@127.0.0.1:9/warehouse",
}


def test_help_is_there_for_every_command_and_waits_for_no_heavy_import() -> None:
    script = (
        "import sys; from totes_dagster.cli.commands import main; "
        "run = lambda *words: main([*words, '--help'], 'totes', standalone_mode=False); "
        "run(); [run(name) for name in main.commands]; "
        "print('loaded', *{name.split('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    help_, loaded = done.stdout.split("\nloaded ")
    for command in ("demo", "dev", "refresh", "reconcile", "status", "simulate", "latency", "migrate"):
        assert f"Usage: totes {command} " in help_
    assert set(loaded.split()).isdisjoint({"pandas", "pyarrow", "dagster", "sqlalchemy", "psycopg", "boto3", "rich"})


def test_the_version_is_that_of_the_package() -> None:
    assert totes_here("--version") == f"totes {version('totes-dagster')}\n"


def test_a_drill_is_for_a_copy_that_is_named() -> None:
    refused = run_here("drill", **UNREACHABLE)
    assert refused.exit_code == 2
    assert "Name the server of the copy with --host." in refused.stderr
    line = refusal_here("drill", "--yes", "--host", "127.0.0.1", **UNREACHABLE)
    assert line.startswith("SettingsError: 127.0.0.1 is the server of the warehouse itself.")
    line = refusal_here("drill", "--yes", "--host", "localhost", **UNREACHABLE)
    assert line.startswith("PortClosedError: Cannot connect to warehouse: ")


@pytest.mark.parametrize("command", ["refresh", "demo", "dev", "status"])
def test_half_configured_it_ends_with_one_line(command: str, tmp_path: Path) -> None:
    line = refusal_here(command, TOTES_HOME=str(tmp_path / "totes"), TOTESYS_URL=ALL["TOTESYS_URL"])
    assert line.startswith(
        "SettingsError: Some settings are given, but these are missing: WAREHOUSE_URL or WAREHOUSE_SECRET_ID"
    )
    assert not (tmp_path / "totes").exists()


@pytest.mark.parametrize(
    ("arguments", "settings", "beginning"),
    [
        (["refresh"], UNREACHABLE, "PortClosedError: Cannot connect to totesys: "),
        (["status"], UNREACHABLE, "LakeFolderMissingError: The lake file:///"),
        (["migrate"], UNREACHABLE, "PortClosedError: Cannot connect to warehouse: "),
        (["refresh"], {**UNREACHABLE, "TOTESYS_URL": "s3cret"}, "SettingsError: The URL of totesys is not a valid"),
        (
            ["refresh"],
            {**UNREACHABLE, "TOTES_PROCESSED_LAKE": "lake"},
            "SettingsError: 'lake' is not the URL of a lake: use s3://",
        ),
        (["demo"], UNREACHABLE, "SettingsError: The demo changes its source."),
    ],
)
def test_on_wrong_settings_it_ends_with_one_line(
    arguments: list[str], settings: dict[str, str], beginning: str, tmp_path: Path
) -> None:
    lakes = {name: (tmp_path / name).as_uri() for name in ("TOTES_INGESTION_LAKE", "TOTES_PROCESSED_LAKE")}
    line = refusal_here(
        *arguments, **{**settings, **{name: lakes[name] for name in lakes if settings[name] == ALL[name]}}
    )
    assert line.startswith(beginning)


def test_a_simulation_of_nothing_is_a_wrong_usage() -> None:
    result = run_here("simulate")
    assert result.exit_code == 2
    assert "Give --orders to seed a source, --rate to change one, or both." in result.stderr


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A home of the embedded stack with a small company in it, and its server running."""
    # Not pytest's own temporary folder: every new run closes that to the server's system user.
    with tempfile.TemporaryDirectory(prefix="totes-cli-") as folder:
        home = Path(folder)
        with EmbeddedPostgres(home / "postgres", FAST_SETTINGS):
            assert "A company with 30 sales orders" in totes("simulate", "--orders", "30", TOTES_HOME=folder)
            yield home
        wait_until_gone(home)


def test_the_embedded_stack_from_the_command_line(home: Path) -> None:
    stack = {"TOTES_HOME": str(home)}
    assert run_here("status", "--check", **databases_of(home)).exit_code == 1
    empty = totes("status", **stack)
    assert "The warehouse is empty. Run `totes refresh`." in empty
    assert "address, counterparty, currency" in empty
    assert totes("migrate", **stack) == f"Migrated the warehouse from none to revision {HEAD}.\n"
    assert here(home, "migrate") == f"The warehouse is at revision {HEAD} already.\n"
    assert "Loaded batch 1: " in totes("refresh", **stack)
    current = here(home, "status", "--check")
    assert "The warehouse shows the source as it is now." in current
    assert current.isascii()  # no frame around the table, where no terminal shows it
    state = json.loads(here(home, "status", "--json"))
    assert (state["is_current"], state["problems"]) == (True, [])
    assert state["loaded"] == state["ingested"] == {"batch": 1, "snapshot_at": state["ingested"]["snapshot_at"]}
    assert datetime.fromisoformat(state["loaded"]["snapshot_at"]).tzinfo
    assert state["rows"]["fact_sales_order"] == 30
    assert totes("reconcile", **stack).startswith("The warehouse equals the source: ")
    assert "already exists" in totes("simulate", "--orders", "5", **stack)
    with psycopg.connect(EmbeddedPostgres(home / "postgres").url("totesys")) as connection:
        connection.execute("update staff set first_name = first_name || '!' where staff_id = 1")
    behind = here(home, "status")
    assert "capture staff" in behind
    assert "The warehouse shows the source as it was " in behind
    checked = run_here("status", "--check", **databases_of(home))
    assert (checked.exit_code, checked.stdout[:5]) == (1, "stage")
    assert checked.stderr == "Not as it should be: the warehouse is behind the source.\n"
    assert "Loaded batch 2: 1 changed." in here(home, "refresh")


def test_what_a_refresh_and_a_reconciliation_did_is_also_told_as_json(home: Path) -> None:
    here(home, "refresh")
    with psycopg.connect(EmbeddedPostgres(home / "postgres").url("totesys")) as connection:
        connection.execute("update staff set first_name = first_name || '?' where staff_id = 2")
    refreshed = json.loads(here(home, "refresh", "--json"))
    (loaded,) = refreshed["loaded"]
    assert loaded["batch"] == refreshed["ingested"]["batch"]
    assert loaded["tables"]["dim_staff"]["changed"] == 1
    reconciled = json.loads(here(home, "reconcile", "--json"))
    assert reconciled["repair"] is None
    assert reconciled["tables"]["fact_sales_order"] == {"rows": 30, "differing": 0, "left": 0, "unaccounted": []}


@pytest.mark.parametrize("arguments", [["-q", "refresh"], ["refresh", "-q"], ["refresh", "--quiet"]])
def test_quiet_before_or_after_the_command_it_says_nothing(home: Path, arguments: list[str]) -> None:
    assert here(home, *arguments) == ""
    assert here(home, "refresh").startswith("Nothing changed. ")


@pytest.mark.parametrize("arguments", [["-v", "refresh"], ["refresh", "-v"], ["refresh", "--verbose"]])
def test_verbose_before_or_after_the_command_it_logs_more(home: Path, arguments: list[str]) -> None:
    here(home, "refresh")
    assert "Nothing changed in totesys since batch" in run_here(*arguments, **databases_of(home)).stderr


def test_the_doctor_finds_an_embedded_stack_in_good_health(home: Path) -> None:
    here(home, "refresh")
    lines = [line.split(maxsplit=2) for line in totes("doctor", TOTES_HOME=str(home)).splitlines()]
    assert {health for health, *_ in lines} == {"ok"}
    assert [what for _, what, _ in lines] == [
        "platform",
        "settings",
        *["totesys"] * 2,
        "ingestion",
        "processed",
        *["warehouse"] * 2,
        *["landing"] * 3,
        "dashboard",
        "alerts",
    ]


def test_a_refresh_says_in_one_line_what_it_did(home: Path) -> None:
    here(home, "refresh")
    (line,) = here(home, "refresh").splitlines()
    assert line.startswith("Nothing changed. ")


def test_a_new_warehouse_is_migrated_once(home: Path) -> None:
    settings = {"TOTES_HOME": str(home)}
    server = EmbeddedPostgres(home / "postgres")
    assert server.create_database("other")
    settings |= {
        "TOTESYS_URL": server.url("totesys"),
        "WAREHOUSE_URL": server.url("other"),
        "TOTES_INGESTION_LAKE": (home / "other" / "ingestion").as_uri(),
        "TOTES_PROCESSED_LAKE": (home / "other" / "processed").as_uri(),
        "WAREHOUSE_SCHEMA": "analytics",
    }
    assert totes_here("migrate", **settings) == f"Migrated the warehouse from none to revision {HEAD}.\n"
    assert totes_here("migrate", **settings) == f"The warehouse is at revision {HEAD} already.\n"


def test_the_demo_tells_the_whole_story_and_can_be_told_again() -> None:
    with tempfile.TemporaryDirectory(prefix="totes-demo-") as folder:
        told = totes("demo", "--orders", "40", TOTES_HOME=folder)
        again = totes("demo", "--orders", "40", cwd=PROJECT, TOTES_HOME=folder)
        wait_until_gone(Path(folder))
    assert "A company with 40 sales orders" in told
    assert "sales order 41: " in told
    assert "Loaded batch 2: 3 new." in told
    assert "Loaded batch 3: 1 changed." in told
    assert "Loaded batch 4: 2 deleted." in told
    assert told.count("fact_sales_order, sales_order_id 41") == 2
    assert "already exists" in again
    assert "Loaded batch 7: 2 deleted." in again
    next_ = again.partition("Where to look next ")[2]
    for command in ("make dev", "make dashboard", "totes metric net_sales --by month", "totes sql"):
        assert f"  {command}\n" in next_


def test_the_simulator_lives_until_ctrl_c(home: Path) -> None:
    with start("simulate", "--rate", "20", TOTES_HOME=str(home), PYTHONUNBUFFERED="1") as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        printed, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")
    assert printed.endswith("Stopped.\n")


def test_a_measurement_prints_every_change_and_a_summary(home: Path, tmp_path: Path) -> None:
    measured = tmp_path / "measured.json"
    stack = {"TOTES_HOME": str(home)}
    here(home, "refresh")
    arguments = ("--changes", "1", "--every", "0", "--json", str(measured))
    with start("latency", *arguments, **stack) as process:
        wait_until_marked(home)
        here(home, "refresh")
        printed, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    first, *steps, _ = printed.splitlines()
    assert first.startswith("change 1 of 1: seen after ")
    names = ["commit → snapshot", "snapshot → loaded", "loaded → seen", "commit → seen"]
    assert [step.partition(": 1 changes, median ")[0] for step in steps] == names
    (change,) = json.loads(measured.read_text())
    assert list(change["steps"]) == names[:3]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_measurement_that_is_stopped_takes_its_mark_off(home: Path, number: signal.Signals) -> None:
    stack = {"TOTES_HOME": str(home)}
    here(home, "refresh")
    with start("latency", "--every", "0", **stack) as process:
        wait_until_marked(home)
        process.send_signal(number)
        printed, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "")
    assert printed == "Stopped after 0 of 30 changes; the marked row is as it was.\n"
    assert marked(home) == 0


def test_a_second_ctrl_c_does_not_keep_the_mark_on(home: Path) -> None:
    stack = {"TOTES_HOME": str(home)}
    here(home, "refresh")
    with start("latency", "--every", "0", **stack) as process:
        wait_until_marked(home)
        with psycopg.connect(EmbeddedPostgres(home / "postgres").url("totesys")) as connection:
            connection.execute("select from staff for update")
            process.send_signal(signal.SIGINT)
            waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query like 'update%'"
            with psycopg.connect(EmbeddedPostgres(home / "postgres").url("totesys"), autocommit=True) as observer:
                wait_for(lambda: observer.execute(waiting).fetchone() == (1,))
            process.send_signal(signal.SIGINT)
        printed, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "")
    assert printed.startswith("Stopped after 0 of 30 changes")
    assert marked(home) == 0


@pytest.mark.parametrize("command", [["latency"], ["simulate", "--rate", "5"]])
@pytest.mark.parametrize("answer", ["n\n", "", "\n"], ids=["no", "end of input", "neither"])
def test_a_configured_source_is_not_changed_without_a_yes(command: list[str], answer: str) -> None:
    result = run_here(*command, answer=answer, **UNREACHABLE)
    assert result.exit_code == 1
    assert result.stdout.startswith("This ")
    assert re.search(r" the database that TOTESYS_URL names\. Go on\? \[y/N\]: n?\n+$", result.stdout)
    assert result.stderr == "Nothing was changed. To skip the question, give --yes.\n"


@pytest.mark.parametrize("command", [["latency"], ["simulate", "--rate", "5"]])
def test_a_yes_goes_on_and_so_does_the_option(command: list[str]) -> None:
    with start(*command, **UNREACHABLE) as process:
        printed, errors = process.communicate("y\n", timeout=60)
    assert printed.endswith("Go on? [y/N]: \n")
    assert "127.0.0.1" in errors  # which nobody listens at
    assert refusal_here(*command, "--yes", **UNREACHABLE) == errors.strip()


def here(home: Path, *arguments: str) -> str:
    """Run a command to a good end in this process; return what it printed."""
    return totes_here(*arguments, **databases_of(home))


def databases_of(home: Path) -> dict[str, str]:
    """Settings that name the databases of a home's stack, which a command in this process would keep running itself."""
    server, lake = EmbeddedPostgres(home / "postgres"), home / "lake"
    return {
        "TOTESYS_URL": server.url("totesys"),
        "WAREHOUSE_URL": server.url("warehouse"),
        "TOTES_INGESTION_LAKE": (lake / "ingestion").as_uri(),
        "TOTES_PROCESSED_LAKE": (lake / "processed").as_uri(),
    }


def marked(home: Path) -> int:
    """How many rows of the source bear a mark."""
    with psycopg.connect(EmbeddedPostgres(home / "postgres").url("totesys")) as connection:
        ((count,),) = connection.execute("select count(*) from staff where last_name like '%[latency%'").fetchall()
        return count


def wait_until_marked(home: Path) -> None:
    wait_for(lambda: marked(home) == 1)


@pytest.mark.slow
def test_the_embedded_server_ends_with_the_command() -> None:
    with tempfile.TemporaryDirectory(prefix="totes-cli-") as folder:
        totes("simulate", "--orders", "5", TOTES_HOME=folder)
        wait_until_gone(Path(folder))
        assert (Path(folder) / "postgres" / "data" / "PG_VERSION").exists()
