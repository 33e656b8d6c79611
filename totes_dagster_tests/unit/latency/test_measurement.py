"""What is printed and written of a measurement."""

import io
import json
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from totes_dagster.latency import measurement
from totes_dagster.latency.measurement import report
from totes_dagster.latency.timings import Change
from totes_dagster.runtime import terminal


@pytest.mark.parametrize("is_terminal", [True, False])
def test_what_was_measured_is_a_table_on_a_terminal_and_lines_elsewhere(
    monkeypatch: pytest.MonkeyPatch, *, is_terminal: bool
) -> None:
    recorder = Console(record=True, width=100, force_terminal=is_terminal, highlight=False)
    monkeypatch.setattr(terminal, "console", recorder)
    monkeypatch.setattr(measurement, "console", recorder)
    now = datetime.now(UTC)
    changes = [Change(number, now, None, None, now + timedelta(seconds=number), batch=number) for number in (1, 2, 3)]
    written = io.StringIO()
    report(changes, written)
    printed = recorder.export_text()
    if is_terminal:
        (row,) = [line for line in printed.splitlines() if "commit → seen" in line]
        assert row.replace("│", "").split()[-4:] == ["3", "2.000", "3.000", "3.000"]
    else:
        assert printed.startswith("commit → seen: 3 changes, median 2.000 s, 95 % 3.000 s, longest 3.000 s\n")
    assert "The Dagster run of 3 of 3 changes is not known" in printed
    assert [change["seconds"] for change in json.loads(written.getvalue())] == [1, 2, 3]
