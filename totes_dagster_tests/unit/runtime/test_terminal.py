"""Tables that line up on a terminal, and progress that counts every row."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from rich.console import Console

from totes_dagster.runtime import terminal
from totes_dagster.runtime.terminal import show_table, shown_progress


@pytest.fixture(params=[True, False], ids=["terminal", "no terminal"])
def console(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Console:
    """A wide console that records what is printed."""
    recorder = Console(record=True, width=100, highlight=False, force_terminal=request.param)
    monkeypatch.setattr(terminal, "console", recorder)
    return recorder


def test_numbers_are_on_the_right_and_have_separators(console: Console) -> None:
    show_table("Rows", ("table", "rows", "paid"), [("staff", 20, True), ("payment", 1_234_567, False)])
    title, *lines = console.export_text().splitlines()
    assert title == "Rows"
    (staff,) = [line for line in lines if "staff" in line]
    (payment,) = [line for line in lines if "payment" in line]
    assert "1,234,567" in payment
    assert payment.index("1,234,567") + len("1,234,567") == staff.index("20") + len("20")
    assert "True" in staff and "False" in payment


def test_seconds_are_lined_up_at_their_points(console: Console) -> None:
    show_table("", ("step", "seconds"), [("ingest", 1.5), ("load", 12.0625)])
    lines = console.export_text().splitlines()
    (short,) = [line for line in lines if "ingest" in line]
    (long,) = [line for line in lines if "load" in line]
    assert " 1.500" in short and " 12.062" in long
    assert short.index(".") == long.index(".")


def test_a_table_of_no_rows_has_its_heading(console: Console) -> None:
    show_table("", ("table", "rows"), [])
    assert "table" in console.export_text()


def test_without_a_terminal_a_long_line_is_not_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(record=True, width=20, force_terminal=False)
    monkeypatch.setattr(terminal, "console", console)
    show_table("", ("name", "rows"), [("a" * 40, 1)])
    assert console.export_text().splitlines() == [f"name{' ' * 38}rows", f"{'a' * 40}{' ' * 5}1"]


def test_progress_counts_every_row_that_any_thread_tells_of(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Console(record=True, width=100, force_terminal=True)
    monkeypatch.setattr(terminal, "console", recorder)
    with shown_progress({"seed": 800}) as progress, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: progress("seed", "payment", 1), range(799)))
        progress("seed", "payment", 1)
        progress("load", "fact_payment", 12_345)
    shown = recorder.export_text()
    assert "800 rows  payment" in shown
    assert "12,345 rows  fact_payment" in shown


def test_where_there_is_no_terminal_progress_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(record=True, force_terminal=False)
    monkeypatch.setattr(terminal, "console", console)
    with shown_progress() as progress:
        progress("ingest", "payment", 5)
    assert console.export_text() == ""
