"""The index of files that were taken, against a plain list of them."""

from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from totes_dagster.errors import PartDamagedError, PartSchemaError
from totes_dagster.feeds.known_files import KnownFiles, extended, stored
from totes_dagster.lake.feed_manifest import TakenFile
from totes_dagster.lake.manifest import Part
from totes_dagster.lake.zone import Zone

NOW = datetime.now(UTC)


def taken(path: str, version: str, digest: str, *, refused: bool = False) -> TakenFile:
    return TakenFile(
        path=path, version=version, sha256=digest, bytes=1, landed_at=NOW, refused="It is bad." if refused else None
    )


_FILES = st.builds(taken, *(st.sampled_from("abc") for _ in range(3)), refused=st.booleans())
_BATCHES = st.lists(st.lists(_FILES, min_size=1, max_size=9), max_size=12)


@given(_BATCHES)
def test_the_index_says_what_a_list_of_all_files_says(batches: list[list[TakenFile]]) -> None:
    everything: list[TakenFile] = []
    parts: tuple[Part, ...] = ()
    with TemporaryDirectory() as folder:
        zone = Zone(Path(folder, "lake").as_uri())
        for number, files in enumerate(batches):
            parts = extended(zone, f"batch={number}", parts, files)
            everything += files
        known = KnownFiles.read(zone, parts)
    for path in "abcd":
        of_path = [file for file in everything if file.path == path]
        for version in "abcd":
            assert known.has(path, version) == (of_path[-1].version == version if of_path else False)
        for digest in "abcd":
            first = next((file.path for file in everything if file.sha256 == digest and not file.refused), None)
            is_changed = bool(of_path) and of_path[-1].sha256 != digest
            assert known.repeated_by(path, digest) == (None if is_changed else first)


@given(st.lists(st.integers(1, 2_000), min_size=1, max_size=60))
def test_the_index_has_few_parts_whatever_the_size_of_the_batches(sizes: list[int]) -> None:
    assert_few_parts(sizes)


@pytest.mark.parametrize("sizes", [[1] * 300, list(range(300, 0, -1)), list(range(1, 300)), [1_000, *[1] * 200]])
def test_the_index_has_few_parts_in_every_order_of_sizes(sizes: list[int]) -> None:
    assert_few_parts(sizes)


def assert_few_parts(sizes: list[int]) -> None:
    total, written = 0, 0
    parts: tuple[Part, ...] = ()
    with pytest.MonkeyPatch.context() as patch:
        # What a part holds does not matter here, and writing thousands takes a while.
        patch.setattr("totes_dagster.feeds.known_files._read", lambda zone, part: pa.table({"n": pa.nulls(part.rows)}))
        patch.setattr("totes_dagster.feeds.known_files._SCHEMA", pa.schema([("n", pa.null())]))
        patch.setattr(
            "totes_dagster.feeds.known_files.stored",
            lambda zone, folder, name, rows: Part(path="part", rows=rows.num_rows, bytes=0),
        )
        for size in sizes:
            parts = extended(None, "", parts, [taken("a", "a", "a")] * size)  # type: ignore[arg-type]  # not used here
            total += size
            written += parts[-1].rows
            assert sum(part.rows for part in parts) == total
            assert len(parts) <= total.bit_length()
    assert written <= total * 2 * total.bit_length()


def test_a_path_that_had_other_bytes_in_between_is_read_again() -> None:
    known = KnownFiles({}, {})
    for version, digest in (("1", "A"), ("2", "B")):
        assert known.repeated_by("a", digest) is None
        known.add("a", version, digest, refused=False)
    assert known.repeated_by("a", "A") is None
    assert known.repeated_by("another", "A") == "a"
    known.add("a", "1", "A", refused=False)
    assert known.has("a", "1")
    assert known.repeated_by("a", "A") == "a"


def test_bytes_that_were_refused_are_read_again() -> None:
    known = KnownFiles({}, {})
    known.add("a", "1", "A", refused=True)
    assert known.repeated_by("a", "A") is None
    assert known.repeated_by("b", "A") is None


def test_a_part_is_stored_once_and_never_over_another(zone: Zone) -> None:
    rows = pa.table({"a": [1]})
    part = stored(zone, "batch=1", "rows", rows)
    assert stored(zone, "batch=1", "rows", rows) == part
    Path(zone.url.removeprefix("file://"), part.path).write_bytes(b"torn")
    with pytest.raises(PartDamagedError, match=f"{part.path} .* is damaged: its name does not follow"):
        stored(zone, "batch=1", "rows", rows)


def test_an_index_of_other_columns_is_named(zone: Zone) -> None:
    part = stored(zone, "batch=1", "known", pa.table({"a": [1]}))
    with pytest.raises(PartSchemaError, match="does not have the columns of an index of files"):
        KnownFiles.read(zone, [part])
