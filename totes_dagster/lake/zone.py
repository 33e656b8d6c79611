"""A zone of the lake: a bucket or a folder in which objects are created and read, but never overwritten or deleted.

What the objects contain is in `ingested.py`, `processed.py` and `manifest.py`.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

import obstore
import pyarrow as pa
import pyarrow.parquet as pq
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError, PreconditionError
from obstore.store import MemoryStore, ObjectStore

from totes_dagster.errors import (
    LakeError,
    LakeFolderMissingError,
    LakeUnavailableError,
    ObjectReplacedError,
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
from totes_dagster.lake.parquet import encoded

if TYPE_CHECKING:
    from obstore import GetOptions

T = TypeVar("T")

_PLAIN = re.compile(r"(\w+:/*)?[\w./ -]*")
_RESTORE = "Restore it from the bucket's versions."


_PIECE = 1 << 20
"""The least number of bytes that are read from an object at once."""


@dataclass(frozen=True)
class ObjectVersion:
    """An object as a listing shows it.

    Attributes:
        path: its path in the zone.
        version: its ETag, which differs from version to version.
        bytes: its size.
        modified_at: when it was written.
    """

    path: str
    version: str
    bytes: int
    modified_at: datetime


class Zone:
    """One zone of the lake.

    Every method raises a LakeError if the lake cannot be reached, refuses the request, or closes the connection.

    Args:
        url: `s3://bucket[/prefix]` or `file:///absolute/folder`. A folder that does not exist reads as empty. The first
            write creates it, closed to other users.

    Raises:
        SettingsError: the URL is neither, the folder or the bucket cannot be opened, or there are no credentials.
    """

    def __init__(self, url: str) -> None:
        opened = _open(url)
        self._bucket = opened if isinstance(opened, s3.Bucket) else None
        self._store: ObjectStore = opened.store if isinstance(opened, s3.Bucket) else opened
        self.url = url
        self.is_folder = self._bucket is None
        self._known_to_exist = False

    def check_exists(self) -> None:
        """Check that the bucket or the folder exists, without creating it.

        Raises:
            BucketMissingError, LakeFolderMissingError: it does not exist.
        """
        with self._named_errors("list objects"):
            self._list_one()
        if isinstance(self._store, MemoryStore):
            raise LakeFolderMissingError(
                f"The lake {self.url} does not exist: there is no such folder. Correct the URL or, if it is right, run "
                "`totes refresh`, which creates the folder."
            )

    def create(self, path: str, data: bytes | pa.Buffer) -> bool:
        """Create an object, atomically.

        Returns:
            Whether the object now contains these bytes: because it was created, or because it already had the same
            bytes, for example after a request whose response was lost. False if it already has other bytes; it is then
            left unchanged.

        Raises:
            LakeUnavailableError: there was no response, and the object may or may not have been created.
        """
        content = pa.py_buffer(data)
        with self._named_errors(f"create {path}", writing=True):
            try:
                # One request, with If-None-Match: a multipart upload could not be conditional.
                bytes_ = memoryview(content).cast("B")
                self._send(lambda: obstore.put(self._store, path, bytes_, mode="create", use_multipart=False))
            except (AlreadyExistsError, FileExistsError):
                pass
            else:
                return True
        # It may be our own: obstore retries a request without a response, although S3 may have carried it out.
        present = self.read(path)
        if present is None:  # S3 also reports a conflict with a request in progress, which may yet fail
            raise LakeUnavailableError(
                f"The lake {self.url} could not create {path}: it conflicted with another request. Try again."
            )
        return bool(present.equals(content))

    def exists(self, path: str) -> bool:
        """Whether an object exists."""
        with self._named_errors(f"look up {path}"):
            try:
                self._head(path)
            except (NotFoundError, FileNotFoundError):
                self._check_exists_once()
                return False
        return True

    def read(self, path: str) -> pa.Buffer | None:
        """An object's bytes; None if it does not exist."""
        with self._named_errors(f"read {path}"):
            try:
                return pa.py_buffer(self._send(lambda: obstore.get(self._store, path).bytes()))
            except (NotFoundError, FileNotFoundError):
                self._check_exists_once()
                return None

    def paths(self, prefix: str) -> list[str]:
        """The paths of all objects in a folder, in order."""
        with self._named_errors(f"list {prefix}"):
            return self._send(
                lambda: sorted(meta["path"] for page in obstore.list(self._store, prefix) for meta in page)
            )

    def objects(self, prefix: str) -> list[ObjectVersion]:
        """All objects in a folder, in the order of their paths."""
        with self._named_errors(f"list {prefix}"):
            found = self._send(lambda: [meta for page in obstore.list(self._store, prefix) for meta in page])
        return sorted(
            (ObjectVersion(meta["path"], meta["e_tag"] or "", meta["size"], meta["last_modified"]) for meta in found),
            key=lambda each: each.path,
        )

    def pieces(self, version: ObjectVersion) -> Iterator[bytes]:
        """The bytes of an object in one version, piece by piece.

        Raises:
            ObjectReplacedError: the object does not exist any more, or only in another version.
        """
        with self._named_errors(f"read {version.path}"):
            try:
                options: GetOptions = {"if_match": version.version} if version.version else {}
                found = self._send(lambda: obstore.get(self._store, version.path, options=options))
                for piece in found.stream(min_chunk_size=_PIECE):
                    yield bytes(piece)
            except (NotFoundError, FileNotFoundError, PreconditionError):
                raise ObjectReplacedError(
                    f"{version.path} in {self.url} was replaced or removed while it was about to be read."
                ) from None

    def create_part(self, path: str, rows: pa.Table) -> Part | None:
        """Create a Parquet object; return None, without changing anything, if it already exists with other bytes."""
        data = encoded(rows)
        return Part(path=path, rows=rows.num_rows, bytes=data.size) if self.create(path, data) else None

    def read_part(self, path: str, columns: list[str] | None = None) -> pa.Table:
        """The rows of a Parquet object.

        Args:
            path: path of the object.
            columns: the columns to read, all by default; those that the object does not have are left out.

        Raises:
            PartMissingError: the object does not exist.
            PartEmptyError: it has no bytes.
            PartDamagedError: it is not valid Parquet, or not what was written.
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
    def _named_errors(self, operation: str, *, writing: bool = False) -> Iterator[None]:
        """Raise the failures of the block as named errors."""
        if isinstance(self._store, MemoryStore):  # stands for a folder that did not exist at the last request
            opened = open_folder(self.url, create=writing)
            if not isinstance(opened, MemoryStore):  # another thread or process may have created it since
                self._store = opened
        try:
            yield
        except (BaseError, OSError, CredentialsNotRenewedError) as error:
            if self._bucket:
                raise self._bucket.named_error(self.url, operation, error) from None
            reason = one_line(str(error).partition("Debug source")[0])
            raise LakeError(f"The lake {self.url} could not {operation}: {reason}") from error
        if self._bucket:
            self._bucket.note_answer()

    def _send(self, request: Callable[[], T]) -> T:
        """Send one request to the store."""
        return self._bucket.send(request) if self._bucket else request()

    def _head(self, path: str) -> None:
        """Check that an object exists; if it does not, raise obstore's error."""
        try:
            self._send(lambda: obstore.head(self._store, path))
        except BaseError as error:
            if not self._bucket or not s3_errors.is_unexplained(error):
                raise
            # A listing says why it is refused. If expired credentials were the reason, it renews them, and succeeds.
            self._list_one()
            self._send(lambda: obstore.head(self._store, path))

    def _check_exists_once(self) -> None:
        """Raise an error if the bucket is missing, which a request for an object does not reveal; check only once."""
        if not self._known_to_exist:
            self._list_one()
            self._known_to_exist = True

    def _list_one(self) -> None:
        """Send a request whose refusal comes with a reason."""
        self._send(lambda: next(iter(obstore.list(self._store, chunk_size=1)), None))


@dataclass(frozen=True)
class Lake:
    """The two zones of the lake: the ingested batches, and the star-schema parts that are computed from them."""

    ingestion: Zone
    processed: Zone


def _open(url: str) -> ObjectStore | s3.Bucket:
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    # A slash in a password would end the part of the URL that is parsed as its host.
    if "@" in (parts.netloc if parts.scheme in {"s3", "file"} else url) or (
        parts.scheme == "s3" and ":" in parts.netloc
    ):
        raise SettingsError(
            "The URL of a lake seems to contain credentials. Use s3://bucket, s3://bucket/prefix or "
            "file:///absolute/folder; credentials belong in the settings of the AWS SDK."
        )
    if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/"):
        return open_folder(url)
    if parts.scheme == "s3" and parts.netloc and not parts.query and not parts.fragment:
        return s3.open_bucket(parts.netloc, parts.path.strip("/"))
    # The rest of it may be a key or a signature.
    shown = url if _PLAIN.fullmatch(url) else f"{parts.scheme}://…"
    raise SettingsError(
        f"{shown!r} is not the URL of a lake: use s3://bucket, s3://bucket/prefix or file:///absolute/folder."
    )
