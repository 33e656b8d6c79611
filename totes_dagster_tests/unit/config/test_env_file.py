"""The file `.env`: the command line and Dagster read it alike, so that both work on the same databases."""

import logging
import os
from pathlib import Path

import pytest
from dagster._cli.utils import get_possibly_temporary_instance_for_cli

from totes_dagster.config.env_file import read_env_file
from totes_dagster.errors import SettingsError

NAMES = ("TOTESYS_URL", "WAREHOUSE_URL", "WAREHOUSE_SCHEMA", "TOTES_HOME", "DAGSTER_HOME")

FILES = {
    "nothing": "",
    "one setting": "TOTESYS_URL=postgresql://file@/totesys\n",
    "export, quotes and a comment": "export TOTESYS_URL='postgresql://a:p%23w@/b#c'  # the source\n",
    "a setting without a value, and one with an empty one": "TOTESYS_URL\nWAREHOUSE_URL=\n",
    "one setting made of another": "USERNAME=reader\nTOTESYS_URL=postgresql://${USERNAME}@${HOST:-db}/totesys\n",
    "of the environment's": "TOTESYS_URL=${WAREHOUSE_URL}\nWAREHOUSE_SCHEMA=${WAREHOUSE_SCHEMA}_2\n",
    "a line that says nothing": "what is this\nWAREHOUSE_SCHEMA=analytics\n",
}
ENVIRONMENTS: dict[str, dict[str, str]] = {
    "nothing given": {},
    "others given": {"TOTESYS_URL": "postgresql://given@/totesys", "WAREHOUSE_URL": "x", "WAREHOUSE_SCHEMA": "given"},
}


@pytest.fixture(params=ENVIRONMENTS.values(), ids=list(ENVIRONMENTS))
def _given(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (*NAMES, "USERNAME", "HOST"):
        monkeypatch.delenv(name, raising=False)
    for name, value in request.param.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("_given")
@pytest.mark.parametrize("text", FILES.values(), ids=FILES)
def test_the_command_line_reads_what_dagster_reads(text: str) -> None:
    Path(".env").write_text(text)
    with get_possibly_temporary_instance_for_cli(logger=logging.getLogger("test")):
        expected = dict(os.environ)
    found = dict(os.environ)
    replaced = read_env_file(Path(), found)
    assert found == expected
    assert set(replaced) == {name for name, value in os.environ.items() if found[name] != value}


def test_without_the_file_nothing_is_set(tmp_path: Path) -> None:
    environment = {"TOTESYS_URL": "given"}
    assert read_env_file(tmp_path, environment) == []
    assert environment == {"TOTESYS_URL": "given"}


def test_a_folder_of_that_name_is_no_file(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    assert read_env_file(tmp_path, {}) == []


@pytest.mark.parametrize("content", [b"TOTESYS_URL=s3cret\xff\n", b"TOTESYS_URL=s3cret\0\n"])
def test_a_file_that_cannot_be_read_is_named_and_not_shown(content: bytes, tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(content)
    with pytest.raises(SettingsError, match=r"The settings in .*\.env cannot be read") as refused:
        read_env_file(tmp_path)
    assert "s3cret" not in str(refused.value)
