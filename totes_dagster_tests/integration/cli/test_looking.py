"""What only looks makes nothing: no folder, no file, no server, no table."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from totes_dagster.local.server import EmbeddedPostgres
from totes_dagster_tests.conftest import FAST_SETTINGS
from totes_dagster_tests.integration.commands import refusal_here, totes, totes_here, wait_until_gone

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


def test_validating_the_definitions_makes_nothing(tmp_path: Path) -> None:
    others = {name: value for name, value in os.environ.items() if not name.startswith(("TOTES", "WAREHOUSE"))}
    command = (sys.executable, "-m", "dagster", "definitions", "validate", "-m", "totes_dagster.definitions")
    done = subprocess.run(command, cwd=tmp_path, env=others, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


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
