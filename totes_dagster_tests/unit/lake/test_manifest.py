"""The manifest as JSON: what was written is what is read, and anything else is refused with a reason."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from totes_dagster.errors import ManifestDamagedError, ManifestFormatError
from totes_dagster.lake.manifest import AddedKeys, Census, Manifest, Part, Snapshot, TableEntry
from totes_dagster.schema.totesys import Capture
from totes_dagster_tests.unit.manifests import MANIFEST

COUNTS = st.integers(0, 2**62)
CHECKSUMS = st.integers(-(2**63), 2**63 - 1)
PARTS = st.lists(st.builds(Part, path=st.text(), rows=COUNTS, bytes=COUNTS), max_size=3).map(tuple)
SNAPSHOTS = st.builds(
    Snapshot,
    taken_at=st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - UTC is given
    xmin=COUNTS,
    xmax=COUNTS,
    system_identifier=st.integers(0, 2**63 - 1),
    timeline=st.integers(1, 2**31),
    database_oid=st.integers(1, 2**32),
)
ENTRIES = st.builds(
    TableEntry,
    batch=st.integers(1, 10**9),
    content=st.sampled_from(Capture),
    census=st.builds(Census, rows=COUNTS, keys=CHECKSUMS, versions=CHECKSUMS),
    parts=PARTS,
    live_keys=st.none() | PARTS,
    live_ranges=st.none() | st.lists(st.integers(-(2**17), 2**17 - 1), max_size=3).map(tuple),
    key_ranges=st.none() | PARTS.filter(bool).map(lambda parts: parts[0]),
    added_keys=st.lists(
        st.builds(AddedKeys, number=st.integers(-(2**17), 2**17 - 1), keys=COUNTS, checksum=COUNTS), max_size=3
    ).map(tuple),
)
MANIFESTS = st.builds(
    Manifest,
    format=st.just(1),
    batch=st.integers(1, 10**9),
    snapshot=SNAPSHOTS,
    tables=st.dictionaries(st.text(), ENTRIES, max_size=3),
)


def refusal(data: bytes) -> str:
    with pytest.raises(ManifestDamagedError, match=r"^The manifest batches/0000000001\.json is damaged: ") as raised:
        Manifest.from_json(data, "batches/0000000001.json")
    assert "\n" not in str(raised.value)
    return str(raised.value)


def with_change(**changes: Any) -> bytes:
    return json.dumps({**json.loads(MANIFEST.to_json()), **changes}).encode()


@given(MANIFESTS)
def test_what_was_written_is_what_is_read(manifest: Manifest) -> None:
    assert Manifest.from_json(manifest.to_json(), "batches/1.json") == manifest


def test_a_manifest_is_one_line() -> None:
    """Athena's JSON SerDes take every line for a row."""
    assert b"\n" not in MANIFEST.to_json()


def test_a_manifest_of_many_lines_is_read_too() -> None:
    """The first lakes have such."""
    indented = json.dumps(json.loads(MANIFEST.to_json()), indent=1).encode()
    assert indented.count(b"\n") > 10
    assert Manifest.from_json(indented, "batches/1.json") == MANIFEST


def test_a_manifest_is_plain_json_that_others_can_read() -> None:
    read = json.loads(MANIFEST.to_json())
    assert read["format"] == 1
    assert read["snapshot"]["taken_at"] == "2024-02-29T12:30:00.123456Z"
    assert read["tables"]["payment"]["content"] == "changes"
    census = {"table_oid": 1, "rows": 2, "keys": -(2**63), "versions": 2**63 - 1}
    assert read["tables"]["payment"]["census"].items() >= census.items()


def test_a_manifest_of_an_older_version_knows_no_ranges() -> None:
    older = json.loads(MANIFEST.to_json())
    for name in ("live_ranges", "key_ranges", "added_keys"):
        del older["tables"]["payment"][name]
    assert Manifest.from_json(json.dumps(older).encode(), "batches/1.json") == MANIFEST


@given(st.data())
def test_a_manifest_that_is_cut_off_anywhere_is_refused(data: st.DataObject) -> None:
    content = MANIFEST.to_json()
    refusal(content[: data.draw(st.integers(0, len(content) - 1))])


@pytest.mark.parametrize("content", [b"", b"null", b"[]", b"{}", b"\xff\xfe", b"<html>", MANIFEST.to_json() * 2])
def test_what_is_no_manifest_is_refused(content: bytes) -> None:
    assert "Restore the object from the bucket's versions." in refusal(content)


def test_a_format_of_the_future_is_refused_with_advice() -> None:
    """Whatever else it holds that nobody knows yet."""
    future = with_change(format=2, batch={"number": 1}, compacted=True)
    with pytest.raises(
        ManifestFormatError, match=r"it has format 2, which .* does not support\. Upgrade the platform\."
    ):
        Manifest.from_json(future, "batches/0000000001.json")


@pytest.mark.parametrize("written", ["2", 1.5, None, [1]])
def test_a_format_that_is_no_number_is_damage(written: Any) -> None:
    assert "is damaged: format: " in refusal(with_change(format=written))


def test_a_field_that_nobody_knows_is_refused_by_name() -> None:
    assert "is damaged: compacted: " in refusal(with_change(compacted=True))


def test_a_moment_without_a_zone_is_refused() -> None:
    snapshot = {**json.loads(MANIFEST.to_json())["snapshot"], "taken_at": "2024-02-29T12:30:00"}
    assert "is damaged: snapshot.taken_at: " in refusal(with_change(snapshot=snapshot))


def test_a_batch_brings_what_it_captured_and_not_what_it_carries() -> None:
    later = MANIFEST.model_copy(update={"batch": 2})
    assert MANIFEST.brings("payment")
    assert not later.brings("payment")
    assert not MANIFEST.brings("staff")
    assert MANIFEST.tables["payment"].rows == 5


@pytest.mark.parametrize("field", ["system_identifier", "timeline", "database_oid"])
def test_snapshots_of_another_cluster_timeline_or_database_are_of_another_history(field: str) -> None:
    snapshot = MANIFEST.snapshot
    later = snapshot.model_copy(update={"xmin": 100, "xmax": 100, "taken_at": datetime.now(UTC)})
    assert later.same_history(snapshot)
    assert not later.model_copy(update={field: getattr(snapshot, field) + 1}).same_history(snapshot)
