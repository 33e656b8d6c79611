"""A zone of the lake: a bucket or a folder in which objects are created and read, never overwritten, never deleted."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

import obstore
import pyarrow as pa
import pyarrow.parquet as pq
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError
from obstore.store import MemoryStore, ObjectStore

from totes_dagster.errors import (
    LakeError,
    LakeFolderMissingError,
    LakeUnavailableError,
    PartDamagedError,
    PartEmptyError,
    PartMissingError,
    SettingsError,
    one_line,
)
from totes_dagster.lake import s3, s3_errors
from totes_dagster.lake.credentials import CredentialsNotRenewedError
from totes_dagster.lake.folder import open_folder
from totes_dagster.lake.manifest import Part

T = TypeVar("T")

_PLAIN = re.compile(r"(\w+:/*)?[\w./ -]*")
_RESTORE = "Restore it from the bucket's versions."


class Zone:
    """One zone of the lake.

    Every method raises a LakeError when the lake cannot be reached, refuses, or breaks off.

    Args:
        url: `s3://bucket[/prefix]` or `file:///absolute/folder`. A folder that does not exist is empty until the first
            object is created, which makes it, closed to other users.

    Raises:
        SettingsError: the URL is neither, the folder cannot be one of the lake, or there are no credentials.
    """

    def __init__(self, url: str) -> None:
        opened = _open(url)
        self._bucket = opened if isinstance(opened, s3.Bucket) else None
        self._store: ObjectStore = opened.store if isinstance(opened, s3.Bucket) else opened
        self.url = url
        self._is_there = False

    def check_exists(self) -> None:
        """Look for the bucket or the folder, and make neither.

        Raises:
            BucketMissingError, LakeFolderMissingError: there is none.
        """
        with self._asking("look for the zone"):
            self._list_one()
        if isinstance(self._store, MemoryStore):
            raise LakeFolderMissingError(
                f"The lake {self.url} does not exist: there is no such folder. Correct the URL or, if it is right, run "
                "`totes refresh`, which makes the folder."
            )

    def create(self, path: str, data: bytes | pa.Buffer) -> bool:
        """Create an object, wholly or not at all.

        Returns:
            Whether the object now holds these bytes: because it was created, or because it had been created with the
            same bytes before, as by a request whose answer was lost. False, and nothing changed, where it holds others.

        Raises:
            LakeUnavailableError: no answer came, and the object may have been created, or not.
        """
        wanted = pa.py_buffer(data)
        with self._asking(f"create {path}", writing=True):
            try:
                # One request, with If-None-Match: a multipart upload could not be conditional.
                bytes_ = memoryview(wanted).cast("B")
                self._ask(lambda: obstore.put(self._store, path, bytes_, mode="create", use_multipart=False))
            except (AlreadyExistsError, FileExistsError):
                pass
            else:
                return True
        # Perhaps our own: obstore repeats a request that was not answered, although it may have been carried out.
        present = self.read(path)
        if present is None:  # S3 also says so of a request that is under way, and may come to nothing
            raise LakeUnavailableError(
                f"The lake {self.url} could not create {path}: another request for it was in the way. Try again."
            )
        return bool(present.equals(wanted))

    def exists(self, path: str) -> bool:
        """Whether there is such an object."""
        with self._asking(f"look for {path}"):
            try:
                self._head(path)
            except (NotFoundError, FileNotFoundError):
                self._check_exists_once()
                return False
        return True

    def read(self, path: str) -> pa.Buffer | None:
        """An object's bytes, or None where there is no such object."""
        with self._asking(f"read {path}"):
            try:
                return pa.py_buffer(self._ask(lambda: obstore.get(self._store, path).bytes()))
            except (NotFoundError, FileNotFoundError):
                self._check_exists_once()
                return None

    def paths(self, prefix: str) -> list[str]:
        """The paths of all objects in a folder, in order."""
        with self._asking(f"list {prefix}"):
            return self._ask(
                lambda: sorted(meta["path"] for page in obstore.list(self._store, prefix) for meta in page)
            )

    def create_part(self, path: str, rows: pa.Table) -> Part | None:
        """Create a Parquet object; return None, and change nothing, where it exists already with other bytes."""
        # Encoded in memory and put once: a writer on the store publishes a truncated object when its block raises.
        sink = pa.BufferOutputStream()
        # Without checksums, nearly every bit that flips in a page goes unnoticed, and comes back as another value.
        pq.write_table(rows, sink, compression="zstd", write_page_checksum=True)
        data = sink.getvalue()
        return Part(path=path, rows=rows.num_rows, bytes=data.size) if self.create(path, data) else None

    def read_part(self, path: str, columns: list[str] | None = None) -> pa.Table:
        """A Parquet object's rows, or only some of its columns; those that it lacks are left out.

        Raises:
            PartMissingError: there is no such object.
            PartEmptyError: it has no bytes.
            PartDamagedError: it is not whole Parquet, or not what was written.
        """
        data = self.read(path)
        if data is None:
            raise PartMissingError(f"The part {path} is missing from {self.url}. {_RESTORE}")
        if not data.size:
            raise PartEmptyError(f"The part {path} in {self.url} is empty: it has no bytes. {_RESTORE}")
        try:
            file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
            present = None if columns is None else [name for name in columns if name in file.schema_arrow.names]
            return file.read(columns=present)
        except (pa.ArrowException, OSError) as error:
            raise PartDamagedError(f"The part {path} in {self.url} is damaged: {one_line(error)} {_RESTORE}") from error

    @contextmanager
    def _asking(self, doing: str, *, writing: bool = False) -> Iterator[None]:
        """Name what fails in the block."""
        if isinstance(self._store, MemoryStore):  # in place of a folder that did not exist when we last looked
            opened = open_folder(self.url, make=writing)
            if not isinstance(opened, MemoryStore):  # which another thread may have made since
                self._store = opened
        try:
            yield
        except (BaseError, OSError, CredentialsNotRenewedError) as error:
            if self._bucket:
                raise self._bucket.named_error(self.url, doing, error) from None
            reason = one_line(str(error).partition("Debug source")[0])
            raise LakeError(f"The lake {self.url} could not {doing}: {reason}") from error
        if self._bucket:
            self._bucket.note_answer()

    def _ask(self, request: Callable[[], T]) -> T:
        """Send one request to the store."""
        return self._bucket.ask(request) if self._bucket else request()

    def _head(self, path: str) -> None:
        """Ask whether there is an object; raise what obstore raises where there is none."""
        try:
            self._ask(lambda: obstore.head(self._store, path))
        except BaseError as error:
            if not self._bucket or not s3_errors.is_unexplained(error):
                raise
            self._list_one()  # or it was for credentials that had expired, and these are new now
            self._ask(lambda: obstore.head(self._store, path))

    def _check_exists_once(self) -> None:
        """Tell a missing object from a missing bucket, which a request for an object does not; ask once."""
        if not self._is_there:
            self._list_one()
            self._is_there = True

    def _list_one(self) -> None:
        """Ask for something whose refusal is explained."""
        self._ask(lambda: next(iter(obstore.list(self._store, chunk_size=1)), None))


@dataclass(frozen=True)
class Lake:
    """The lake: the zone of batches as ingested, and the zone of star-schema parts made of them."""

    ingestion: Zone
    processed: Zone


def _open(url: str) -> ObjectStore | s3.Bucket:
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    # A slash in a password would end what is taken for the host.
    if "@" in (parts.netloc if parts.scheme in {"s3", "file"} else url) or (
        parts.scheme == "s3" and ":" in parts.netloc
    ):
        raise SettingsError(
            "The URL of a lake seems to hold credentials. Give s3://bucket, s3://bucket/prefix or "
            "file:///absolute/folder; the AWS SDKs have settings of their own for credentials."
        )
    if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/"):
        return open_folder(url)
    if parts.scheme == "s3" and parts.netloc and not parts.query and not parts.fragment:
        return s3.open_bucket(parts.netloc, parts.path.strip("/"))
    # What else is in it may be a key or a signature.
    shown = url if _PLAIN.fullmatch(url) else f"{parts.scheme}://…"
    raise SettingsError(f"{shown!r} is no lake: give s3://bucket, s3://bucket/prefix or file:///absolute/folder.")
