"""The dashboard beside Dagster: where it listens, and what is said if it cannot be started."""

import socket
from pathlib import Path

import pytest

from totes_dagster.orchestration.development import dashboard
from totes_dagster.orchestration.development.dashboard import DashboardProcess
from totes_dagster.orchestration.development.webserver import HOST


def test_without_its_packages_it_says_so_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(dashboard, "find_spec", lambda name: None if name == "vl_convert" else object())
    process = DashboardProcess(tmp_path, 3000)
    process.start()
    assert capsys.readouterr().out == (
        "The dashboard is not installed. To have it: pip install 'totes-dagster[dashboard]'.\n"
    )
    assert not process.processes.is_running()
    process.stop()


def test_a_dashboard_that_ends_at_once_does_not_stop_what_it_is_beside(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    DashboardProcess(tmp_path, 3000).start()
    assert f"The dashboard did not start. See {tmp_path / 'dashboard.log'}." in capsys.readouterr().out


def test_it_takes_the_next_port_or_any_other_that_is_free() -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        assert dashboard.free_port(port) != port
    assert dashboard.free_port(port) == port
    assert dashboard.free_port(65536) > 0
