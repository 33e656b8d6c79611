"""`totes cluster`: workers on this machine until Ctrl-C, which others find by two settings."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from totes_dagster.cluster.spreading import Cluster
from totes_dagster.config.platform import cluster_at
from totes_dagster.doctor import examine
from totes_dagster.errors import SettingsError
from totes_dagster_tests.ports import free_port
from totes_dagster_tests.system.cluster.hosts import PATIENCE, Hosts, eventually
from totes_dagster_tests.world import World


@pytest.fixture
def started(world: World, tmp_path: Path):  # type: ignore[no-untyped-def]
    """The command, with two workers; it has said how to use them."""
    hosts = Hosts(world.platform, tmp_path)
    environment = {**hosts.settings(), "TOTES_HOME": str(tmp_path / "home")}
    for name in ("TOTES_WORKERS", "TOTES_WORKERS_CREDENTIALS"):
        del environment[name]
    command = [
        sys.executable,
        "-m",
        "totes_dagster.cli.commands",
        "cluster",
        "--workers",
        "2",
        "--port",
        str(free_port()),
    ]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout
        lines = [process.stdout.readline().strip() for _ in range(4)]
        yield process, lines
        process.kill()


@pytest.mark.slow
def test_it_says_how_to_use_it_and_leaves_nothing_behind(started, world: World) -> None:  # type: ignore[no-untyped-def]
    process, lines = started
    assert lines[:2] == [
        "The workers start …",
        "2 workers take a share of large batches where these are set, until Ctrl-C:",
    ]
    settings = dict(line.split("=", 1) for line in lines[2:])
    folder = Path(settings["TOTES_WORKERS_CREDENTIALS"])
    assert folder.stat().st_mode & 0o077 == 0
    assert all(file.stat().st_mode & 0o077 == 0 for file in folder.glob("*.pem"))
    cluster = cluster_at(settings["TOTES_WORKERS"], str(folder))
    assert isinstance(cluster, Cluster)
    assert cluster.workers() == 2
    assert _told_of_workers(world, settings) == f"2 at {settings['TOTES_WORKERS']}, with this version of the platform"
    started_by_it = psutil.Process(process.pid).children(recursive=True)
    # A worker that ends is followed by another.
    worker = next(each for each in started_by_it if any("dask_worker" in word for word in each.cmdline()))
    worker.kill()
    eventually(lambda: cluster.workers() == 2 and not worker.is_running(), "another worker")
    started_by_it = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert rest.strip().endswith("Stopped.")
    assert [each for each in started_by_it if each.is_running()] == []
    assert "Large batches are done by one process." in _told_of_workers(world, settings)


def _told_of_workers(world: World, settings: dict[str, str]) -> str:
    """What the doctor says of them."""
    platform = Hosts(world.platform, Path()).environment()
    (finding,) = [each for each in examine({**platform, **settings}) if each.what == "workers"]
    return finding.text


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (("http://host:8786", "folder"), "TOTES_WORKERS is 'http://host:8786'"),
        (("tls://host", "folder"), "TOTES_WORKERS is 'tls://host'"),
        (("tls://user:password@host:1", "folder"), "TOTES_WORKERS is "),
        (("tls://host:8786",), "TOTES_WORKERS is set, but neither TOTES_WORKERS_CREDENTIALS nor"),
        (("tls://host:8786", "folder", "", "workers"), "TOTES_WORKERS_SERVICE is 'workers'"),
        (("tls://host:8786", "folder", "", "totes/workers:0"), "TOTES_WORKERS_SERVICE is 'totes/workers:0'"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(settings: tuple[str, ...], said: str) -> None:
    with pytest.raises(SettingsError, match=f"^{re.escape(said)}"):
        cluster_at(*settings)


def test_without_an_address_there_is_no_cluster() -> None:
    assert cluster_at("") is None
