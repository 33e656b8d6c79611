"""The file `.env`, as the commands in processes of their own read it."""

from pathlib import Path

import pytest

from totes_dagster_tests.integration.commands import refusal, refusal_here, start, totes
from totes_dagster_tests.settings import ALL


def test_every_command_reads_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text(f"TOTESYS_URL={ALL['TOTESYS_URL']}\n")
    said = "SettingsError: Some settings are given, but these are missing"
    assert refusal("refresh", cwd=tmp_path).startswith(said)
    monkeypatch.chdir(tmp_path)
    for command in ("refresh", "status", "demo", "dev"):
        assert refusal_here(command).startswith(said)
    assert [path.name for path in tmp_path.iterdir()] == [".env"]


def test_what_the_file_replaces_is_named_and_not_shown(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"TOTES_HOME={tmp_path / 's3cret'}\n")
    with start("status", cwd=tmp_path, TOTES_HOME="s3cret-too") as process:
        printed, errors = process.communicate(timeout=60)
    assert (process.returncode, printed) == (0, "Nothing here yet. Run `totes demo` or `totes dev`.\n")
    assert errors.startswith("The file .env overrides TOTES_HOME from the environment")
    assert "s3cret" not in errors
    assert totes("status", cwd=tmp_path).startswith("Nothing here yet.")
