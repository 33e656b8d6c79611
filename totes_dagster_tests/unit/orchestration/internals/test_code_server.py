"""The programs of Dagster that `totes-code-server` runs: the daemon starts evaluations of sensors soon."""

import logging
import sys

import pytest
from dagster._daemon import sensor
from dagster._grpc import server

from totes_dagster.orchestration.internals import code_server


@pytest.fixture
def _daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "DagsterApiServer", server.DagsterApiServer)
    monkeypatch.setattr(sensor, "MIN_INTERVAL_LOOP_TIME", 5)
    monkeypatch.setattr(sys, "argv", ["totes-code-server", "-m", "dagster._daemon", "run", "--help"])


@pytest.mark.usefixtures("_daemon")
def test_the_daemon_starts_evaluations_soon(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        code_server.main()
    assert (ended.value.code, sensor.MIN_INTERVAL_LOOP_TIME) == (0, code_server.EVALUATIONS_EVERY)
    assert "Run any daemons configured" in capsys.readouterr().out


@pytest.mark.usefixtures("_daemon")
def test_a_daemon_that_has_another_way_of_waiting_is_left_alone_and_a_warning_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delattr(sensor, "MIN_INTERVAL_LOOP_TIME")
    with caplog.at_level(logging.WARNING), pytest.raises(SystemExit):
        code_server.main()
    assert "up to five seconds later" in caplog.text
    assert not hasattr(sensor, "MIN_INTERVAL_LOOP_TIME")
