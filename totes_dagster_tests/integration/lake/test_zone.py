"""A zone of the lake, in a folder and in a bucket: objects are created whole or not at all, and never change."""

import base64
import hashlib
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from totes_dagster.errors import PartDamagedError, PartEmptyError, PartMissingError, SettingsError
from totes_dagster.lake.zone import Zone
from totes_dagster_tests.integration.lake.conftest import Damage
from totes_dagster_tests.s3_front import Answer, PassOn, Request, in_front_of, refusal

ROWS = pa.table({"payment_id": pa.array(range(1000), pa.int32()), "note": ["ñ", None] * 500})


def test_what_was_created_is_read_back_and_what_was_not_is_not_there(zone: Zone) -> None:
    assert zone.create("payment/batch=0000000001/part.parquet", b"bytes")
    assert zone.create("empty", b"")
    assert zone.exists("payment/batch=0000000001/part.parquet")
    assert zone.read("payment/batch=0000000001/part.parquet") == pa.py_buffer(b"bytes")
    assert zone.read("empty") == pa.py_buffer(b"")
    for missing in ("payment/batch=0000000001/part", "payment/batch=0000000001", "other/part.parquet"):
        assert not zone.exists(missing)
        assert zone.read(missing) is None


def test_an_object_is_never_overwritten(zone: Zone) -> None:
    assert zone.create("batches/1.json", b"first")
    assert not zone.create("batches/1.json", b"second")
    assert not zone.create("batches/1.json", b"")
    assert zone.read("batches/1.json") == pa.py_buffer(b"first")


def test_to_create_an_object_again_makes_no_difference(zone: Zone, stored: Callable[[], list[bytes]]) -> None:
    assert zone.create("batches/1.json", b"first")
    assert zone.create("batches/1.json", b"first")
    assert stored() == [b"first"]
    part = zone.create_part("part.parquet", ROWS)
    assert zone.create_part("part.parquet", ROWS) == part


@settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
)  # every example has a path of its own
@given(data=st.binary(max_size=2000))
def test_any_bytes_come_back_as_they_were(zone: Zone, data: bytes) -> None:
    path = f"some/{len(zone.paths('some')):05}"
    assert zone.create(path, data)
    read = zone.read(path)
    assert read is not None
    assert read.to_pybytes() == data


def test_of_many_writers_at_once_one_wins_and_the_losers_bytes_are_nowhere(
    zone: Zone, stored: Callable[[], list[bytes]]
) -> None:
    writers, rounds = 8, 5
    contents = {number: f"writer {number}".encode() * 50_000 for number in range(writers)}
    winners = []
    with ThreadPoolExecutor(writers) as pool:
        for attempt in range(rounds):
            together = threading.Barrier(writers, timeout=30)

            def create(number: int, path: str = f"batches/{attempt}", together: threading.Barrier = together) -> bool:
                together.wait()
                return zone.create(path, contents[number])

            results = list(pool.map(create, range(writers)))
            assert results.count(True) == 1
            winners.append(results.index(True))
    kept = [zone.read(f"batches/{attempt}") for attempt in range(rounds)]
    assert [data and data.to_pybytes() for data in kept] == [contents[winner] for winner in winners]
    assert sorted(stored()) == sorted(contents[winner] for winner in winners)


def test_a_folder_is_listed_in_order_and_without_those_whose_names_begin_alike(zone: Zone) -> None:
    for path in ("payment/b", "payment/a/c", "payment_type/a", "payment", "live_keys/payment/a"):
        if path != "payment" or zone.url.startswith("s3"):  # a folder has no room for an object of its own name
            assert zone.create(path, b"")
    assert zone.paths("payment") == ["payment/a/c", "payment/b"]
    assert zone.paths("payment_type") == ["payment_type/a"]
    assert zone.paths("pay") == []


def test_a_folder_of_more_objects_than_one_page_is_listed_whole(zone: Zone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "10")  # a page of S3's has a thousand
    paths = [f"batches/{number:010}.json" for number in range(25)]
    assert all(zone.create(path, b"{}") for path in paths)
    if zone.url.startswith("s3"):
        page = boto3.client("s3").list_objects_v2(Bucket=urlsplit(zone.url).netloc)
        assert (page["KeyCount"], page["IsTruncated"]) == (10, True)
    assert zone.paths("batches") == paths


def test_a_part_says_where_it_lies_and_how_much_it_holds(zone: Zone, stored: Callable[[], list[bytes]]) -> None:
    part = zone.create_part("payment/part.parquet", ROWS)
    assert part is not None
    (data,) = stored()
    assert (part.path, part.rows, part.bytes) == ("payment/part.parquet", 1000, len(data))
    assert zone.read_part(part.path).equals(ROWS)
    assert zone.read_part(part.path, columns=["note"]).equals(ROWS.select(["note"]))
    assert pq.read_metadata(pa.BufferReader(data)).row_group(0).column(0).compression == "ZSTD"


def test_a_part_that_exists_is_left_as_it_is(zone: Zone) -> None:
    assert zone.create_part("part.parquet", ROWS)
    assert zone.create_part("part.parquet", ROWS.slice(0, 1)) is None
    assert zone.read_part("part.parquet").equals(ROWS)


def test_a_missing_part_is_named(zone: Zone) -> None:
    with pytest.raises(PartMissingError, match=r"The part payment/part\.parquet is missing from") as raised:
        zone.read_part("payment/part.parquet")
    assert zone.url in str(raised.value)


@pytest.mark.parametrize(
    "broken", ["cut off", "garbage", "another format", "a byte changed in the footer", "a bit flipped in a value"]
)
def test_a_damaged_part_is_named(zone: Zone, damage: Damage, broken: str) -> None:
    part = zone.create_part("payment/part.parquet", ROWS)
    assert part is not None
    content = zone.read(part.path)
    assert content is not None
    whole = content.to_pybytes()
    column = pq.read_metadata(pa.BufferReader(whole)).row_group(0).column(0)
    last = (column.dictionary_page_offset or column.data_page_offset) + column.total_compressed_size - 1
    damage(
        part.path,
        {
            "cut off": whole[:-1],
            "a bit flipped in a value": whole[:last] + bytes([whole[last] ^ 1]) + whole[last + 1 :],
            "garbage": bytes(range(256)) * 4,
            "another format": b"payment_id,note\n1,x\n",
            "a byte changed in the footer": whole[:-6] + b"\xff" + whole[-5:],
        }[broken],
    )
    with pytest.raises(
        PartDamagedError, match=r"^The part payment/part\.parquet in .* is damaged: .*\. Restore it"
    ) as no:
        zone.read_part(part.path)
    assert "\n" not in str(no.value)
    assert zone.url in str(no.value)


def test_an_empty_part_is_named(zone: Zone, damage: Damage) -> None:
    part = zone.create_part("payment/part.parquet", ROWS)
    assert part is not None
    damage(part.path, b"")
    with pytest.raises(PartEmptyError, match=r"The part payment/part\.parquet in .* is empty: it has no bytes"):
        zone.read_part(part.path)


def test_a_writer_that_is_killed_halfway_leaves_nothing_that_anybody_sees(tmp_path: Path) -> None:
    size = 400_000_000
    script = (
        "import sys; from totes_dagster.lake.zone import Zone; zone = Zone(sys.argv[1]); "
        "data = b'x' * int(sys.argv[2]); print(flush=True); sys.stdin.readline(); zone.create('batches/1', data)"
    )
    zone = Zone((tmp_path / "lake").as_uri())
    with subprocess.Popen(
        [sys.executable, "-c", script, zone.url, str(size)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None and writer.stdin is not None
        writer.stdout.readline()
        writer.stdin.write(b"\n")
        writer.stdin.flush()
        while not any(path.is_file() and path.stat().st_size for path in tmp_path.rglob("*")):
            assert writer.poll() is None
        psutil.Process(writer.pid).kill()
    written = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert 0 < written < size, "the writer was not killed halfway"
    assert zone.read("batches/1") is None
    assert zone.paths("batches") == []
    assert zone.create("batches/1", b"another's")
    assert zone.read("batches/1") == pa.py_buffer(b"another's")
    assert zone.paths("batches") == ["batches/1"]


@pytest.mark.parametrize("prefix", ["", "/", "/deep/down/"])
def test_a_bucket_may_have_a_prefix(bucket: str, prefix: str) -> None:
    zone = Zone(f"s3://{bucket}{prefix}")
    assert zone.create("a/b", b"x")
    assert zone.paths("a") == ["a/b"]


def test_a_bucket_with_object_lock_takes_what_is_written(
    bucket: str, object_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(request: Request, pass_on: PassOn) -> Answer:
        """As S3 does, and moto does not: refuse what has no checksum, or another one."""
        given = {name.lower(): value for name, value in request.headers.items()}.get("x-amz-checksum-sha256", "")
        if request.method == "PUT" and base64.b64decode(given) != hashlib.sha256(request.body).digest():
            words = "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock"
            return refusal(400, "InvalidRequest", f"{words} parameters")
        return pass_on(request)

    with in_front_of(object_store, locked) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        zone = Zone(f"s3://{bucket}")
        assert zone.create("an/object", b"of some bytes")
        assert zone.create_part("a/part.parquet", ROWS) is not None


def test_a_folder_that_takes_no_more_says_why_and_has_nothing_half_written(tmp_path: Path) -> None:
    """A limit on the size of files does to one process what a full disk does to all."""
    zone = Zone((tmp_path / "lake").as_uri())
    script = """
import resource, signal, sys
from totes_dagster.lake.zone import Zone
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
before = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
try:
    Zone(sys.argv[1]).create("payment/part", bytes(5000))
finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, before)  # what measures coverage has files of its own to write
"""
    done = subprocess.run([sys.executable, "-c", script, zone.url], capture_output=True, text=True, check=False)
    *_, last = done.stderr.splitlines()
    assert last.startswith(f"totes_dagster.errors.LakeError: The lake {zone.url} could not create payment/part: ")
    assert "File too large" in last
    assert not zone.exists("payment/part")
    assert zone.paths("payment") == []


def test_a_profile_that_does_not_exist_is_said(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(SettingsError, match="nobody"):
        Zone(f"s3://{bucket}")


def test_the_endpoint_for_s3_goes_before_the_one_for_all(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", boto3.client("s3").meta.endpoint_url)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert Zone(f"s3://{bucket}").create("a", b"x")
