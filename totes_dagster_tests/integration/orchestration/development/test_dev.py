"""`totes dev` in processes of its own: what it starts, what it says of it, and that all of it ends."""

import signal
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from dagster import DagsterInstance, DagsterRunStatus

from totes_dagster.local.server import EmbeddedPostgres
from totes_dagster.simulator.seeding import seed
from totes_dagster_tests.integration.commands import (
    belonging_to,
    refusal,
    start,
    wait_for,
    wait_for_line,
    wait_until_gone,
)
from totes_dagster_tests.ports import free_port

CHANGE = "update staff set first_name = first_name || '!' where staff_id = 1"


@pytest.fixture
def home() -> Iterator[Path]:
    """A new home of the embedded stack, which nobody is at work in when the test ends."""
    # Not pytest's own temporary folder: every new run closes that to the server's system user.
    with tempfile.TemporaryDirectory(prefix="totes-dev-") as folder:
        try:
            yield Path(folder) / "totes"
        finally:
            for process in belonging_to(Path(folder)):
                process.kill()
            wait_until_gone(Path(folder))


@pytest.fixture
def port() -> str:
    return str(free_port())


@contextmanager
def load_locked(warehouse: str) -> Iterator[Callable[[], bool]]:
    """Let no load begin until the block ends; yields whether one waits."""
    with psycopg.connect(warehouse, autocommit=True) as connection:
        connection.execute("select pg_advisory_lock(hashtextextended('totes_dagster.load.public', 0))")
        waiting = "select from pg_locks where locktype = 'advisory' and not granted"
        yield lambda: bool(connection.execute(waiting).rowcount)


def has_batches(warehouse: str) -> bool:
    """Whether the sensor, and nobody else, has brought a batch into a warehouse."""
    with psycopg.connect(warehouse) as connection:
        if connection.execute("select to_regclass('load_history')").fetchone() == (None,):
            return False
        return connection.execute("select count(*) > 0 from load_history").fetchone() == (True,)


def runs(home: Path) -> list[DagsterRunStatus]:
    """The statuses of all runs, the newest first."""
    with DagsterInstance.from_config(str(home / "dagster")) as instance:
        return [run.status for run in instance.get_runs()]


def test_ctrl_c_stops_all_of_it_when_the_run_in_progress_is_done(home: Path, port: str) -> None:
    dev = start("dev", "--orders", "20", "--rate", "0", "--port", port, TOTES_HOME=str(home), PYTHONUNBUFFERED="1")
    wait_for_line(dev, "Press Ctrl-C to stop.")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/server_info", timeout=30) as answer:
        assert answer.status == 200
    server = EmbeddedPostgres(home / "postgres")
    wait_for(lambda: has_batches(server.url("warehouse")))
    with load_locked(server.url("warehouse")) as load_waits:
        with psycopg.connect(server.url("totesys")) as connection:
            connection.execute(CHANGE)
        wait_for(load_waits)
        assert len(belonging_to(home)) > 5  # ours, PostgreSQL's, and those of Dagster
        dev.send_signal(signal.SIGINT)
        wait_for_line(dev, "Waiting for Dagster to end: the refresh in progress (run ")
    wait_for_line(dev, "Stopped.")
    # Also while `totes dev` itself has not ended yet.
    assert [process.pid for process in belonging_to(home) if process.pid != dev.pid] == []
    assert dev.wait(60) == 0
    assert set(runs(home)) == {DagsterRunStatus.SUCCESS}
    dev.communicate()


@pytest.mark.slow
def test_killed_it_takes_everything_with_it(home: Path, port: str) -> None:
    dev = start("dev", "--orders", "20", "--port", port, TOTES_HOME=str(home), PYTHONUNBUFFERED="1")
    wait_for_line(dev, "Press Ctrl-C to stop.")
    assert len(belonging_to(home)) > 5
    dev.kill()
    dev.communicate()
    wait_until_gone(home)


def test_ctrl_c_ends_the_wait_for_a_start(home: Path, port: str) -> None:
    dev = start("dev", "--orders", "20", "--port", port, TOTES_HOME=str(home), PYTHONUNBUFFERED="1")
    wait_for_line(dev, "Waiting for Dagster to start and to load the platform; it writes to ")
    assert "postgres" in {process.name() for process in belonging_to(home)}
    dev.send_signal(signal.SIGINT)
    wait_for_line(dev, "Stopped.")
    assert [process.pid for process in belonging_to(home) if process.pid != dev.pid] == []
    assert dev.wait(60) == 0
    dev.communicate()


@pytest.mark.slow
def test_what_dagster_cannot_load_ends_it_with_the_reason(home: Path, port: str, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("raise RuntimeError('This is broken.')\n")
    options = ("--orders", "20", "--port", port, "--module", "broken")
    dev = start("dev", *options, cwd=tmp_path, TOTES_HOME=str(home))
    printed, errors = dev.communicate(timeout=120)
    assert dev.returncode == 1
    (line,) = errors.splitlines()
    assert line.startswith("DevelopmentServerError: Dagster could not load its code locations: ")
    assert "RuntimeError: This is broken." in line
    assert "Dagster's UI" not in printed
    assert belonging_to(home) == []


@pytest.fixture
def configured(database: Callable[..., str], home: Path) -> tuple[dict[str, str], Path]:
    """A company's own databases and lake, and a folder whose `.env` names them; and a home of Dagster that it names."""
    source, warehouse = database("totesys"), database("warehouse")
    seed(source, orders=20)
    folder = home.parent / "work"
    folder.mkdir(0o700)
    settings = {
        "TOTESYS_URL": source,
        "WAREHOUSE_URL": warehouse,
        "TOTES_INGESTION_LAKE": (folder / "lake" / "ingestion").as_uri(),
        "TOTES_PROCESSED_LAKE": (folder / "lake" / "processed").as_uri(),
    }
    text = "".join(f"{name}={value}\n" for name, value in {**settings, "DAGSTER_HOME": folder / "others"}.items())
    (folder / ".env").write_text(text)
    (folder / "others").mkdir()
    return settings, folder


@pytest.mark.slow
def test_it_works_on_what_the_env_file_names_and_a_second_signal_kills(
    configured: tuple[dict[str, str], Path], home: Path, port: str
) -> None:
    settings, folder = configured
    warehouse = settings["WAREHOUSE_URL"]
    with load_locked(warehouse) as load_waits:
        dev = start("dev", "--port", port, cwd=folder, TOTES_HOME=str(home), PYTHONUNBUFFERED="1")
        printed = wait_for_line(dev, "Press Ctrl-C to stop.")
        assert f"DAGSTER_HOME={folder / 'others'} is ignored" in printed
        # What the file says from now on is for the next `totes dev`.
        (folder / ".env").write_text(f"TOTESYS_URL={settings['TOTESYS_URL']}\n")
        wait_for(load_waits)
        dev.send_signal(signal.SIGTERM)
        wait_for_line(dev, "the refresh in progress (run ")
        dev.send_signal(signal.SIGTERM)
        rest, errors = dev.communicate(timeout=60)
        assert (dev.returncode, errors) == (130, "")
        assert rest.endswith("Killed the remaining processes.\n")
        assert belonging_to(home) == []
    assert list((folder / "others").iterdir()) == []
    assert not (home / "postgres").exists()
    assert not has_batches(warehouse)


def test_incomplete_settings_are_refused_before_anything_is_started(
    configured: tuple[dict[str, str], Path], home: Path, port: str
) -> None:
    settings, folder = configured
    (folder / ".env").write_text(f"TOTESYS_URL={settings['TOTESYS_URL']}\n")
    line = refusal("dev", "--port", port, cwd=folder, TOTES_HOME=str(home))
    assert line.startswith("SettingsError: Some settings are given, but these are missing: WAREHOUSE_URL")
    assert not home.exists()
