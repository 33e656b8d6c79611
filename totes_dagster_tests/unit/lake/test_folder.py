"""A zone in a folder: when the folder is made, and to whom it is open."""

import stat
import tempfile
from pathlib import Path

import pytest

from totes_dagster.errors import LakeError, LakeFolderMissingError, SettingsError
from totes_dagster.lake.zone import Zone


def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "a lake of 100% tôtes #1"
    zone = Zone(folder.as_uri())
    assert zone.create("a/b", b"x")
    assert (folder / "a" / "b").read_bytes() == b"x"


def test_a_new_folder_is_closed_to_other_users(tmp_path: Path) -> None:
    Zone((tmp_path / "lakes" / "ingestion").as_uri()).create("payment/part", b"x")
    assert stat.S_IMODE((tmp_path / "lakes" / "ingestion").stat().st_mode) == 0o700


def test_a_folder_that_is_there_already_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir(mode=0o750)
    Zone((tmp_path / "shared").as_uri())
    assert stat.S_IMODE((tmp_path / "shared").stat().st_mode) == 0o750


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    url = (tmp_path / "file" / "lake").as_uri()
    with pytest.raises((SettingsError, LakeError), match=url):
        Zone(url)


def test_reading_a_folder_that_does_not_exist_finds_nothing_and_does_not_make_it(tmp_path: Path) -> None:
    zone = Zone((tmp_path / "lakes" / "ingestion").as_uri())
    assert not zone.exists("batches/1")
    assert zone.read("batches/1") is None
    assert zone.paths("batches") == []
    with pytest.raises(LakeFolderMissingError, match="does not exist"):
        zone.check_exists()
    assert list(tmp_path.iterdir()) == []


def test_the_first_object_makes_the_folder_and_all_who_looked_before_see_it(tmp_path: Path) -> None:
    folder = tmp_path / "ingestion"
    writer, reader = Zone(folder.as_uri()), Zone(folder.as_uri())
    assert reader.read("batches/1") is None
    assert writer.create("batches/1", b"x")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for zone in (writer, reader):
        zone.check_exists()
        assert zone.paths("batches") == ["batches/1"]


def test_a_folder_that_was_opened_to_all_since_is_refused_by_those_who_looked_before(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="totes-tests-") as name:
        Path(name).chmod(0o755)
        folder = Path(name) / "ingestion"
        zone = Zone(folder.as_uri())
        folder.mkdir()
        folder.chmod(0o755)
        with pytest.raises(SettingsError, match="open to every user of this machine"):
            zone.create("batches/1", b"x")
        assert list(folder.iterdir()) == []
