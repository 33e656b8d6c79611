"""A zone of the lake: a bucket or a folder in which objects are created and read, never overwritten, never deleted."""

import os
from urllib.parse import unquote, urlsplit

import obstore
import pyarrow as pa
import pyarrow.parquet as pq
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError
from obstore.store import LocalStore, ObjectStore, S3Store

from totes_dagster.errors import LakeError, PartError, PartMissingError, SettingsError
from totes_dagster.lake.manifest import Part


class Lake:
    """One zone of the lake.

    Args:
        url: `s3://bucket[/prefix]` or `file:///absolute/folder`.

    Raises:
        SettingsError: the URL is neither, or the folder cannot be made.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._store = _open(url)
        self._is_there = False

    def create(self, path: str, data: bytes | pa.Buffer) -> bool:
        """Create an object, wholly or not at all; return False, and change nothing, where it exists already."""
        try:
            # One request, with If-None-Match: a multipart upload could not be conditional.
            obstore.put(self._store, path, memoryview(data).cast("B"), mode="create", use_multipart=False)
        except (AlreadyExistsError, FileExistsError):
            return False
        except (BaseError, OSError) as error:
            raise self._error(f"create {path}", error) from error
        return True

    def exists(self, path: str) -> bool:
        """Whether there is such an object."""
        try:
            obstore.head(self._store, path)
        except (NotFoundError, FileNotFoundError):
            self._see_that_it_is_there()
            return False
        except (BaseError, OSError) as error:
            raise self._error(f"look for {path}", error) from error
        return True

    def read(self, path: str) -> pa.Buffer | None:
        """An object's bytes, or None where there is no such object."""
        try:
            return pa.py_buffer(obstore.get(self._store, path).bytes())
        except (NotFoundError, FileNotFoundError):
            self._see_that_it_is_there()
            return None
        except (BaseError, OSError) as error:
            raise self._error(f"read {path}", error) from error

    def paths(self, prefix: str) -> list[str]:
        """The paths of all objects in a folder, in order."""
        try:
            return sorted(meta["path"] for page in obstore.list(self._store, prefix) for meta in page)
        except (BaseError, OSError) as error:
            raise self._error(f"list {prefix}", error) from error

    def create_part(self, path: str, rows: pa.Table) -> Part | None:
        """Create a Parquet object; return None, and change nothing, where it exists already."""
        # Encoded in memory and put once: a writer on the store publishes a truncated object when its block raises.
        sink = pa.BufferOutputStream()
        pq.write_table(rows, sink, compression="zstd")
        data = sink.getvalue()
        return Part(path=path, rows=rows.num_rows, bytes=data.size) if self.create(path, data) else None

    def read_part(self, path: str, columns: list[str] | None = None) -> pa.Table:
        """A Parquet object's rows, or only some of its columns; those that it lacks are left out.

        Raises:
            PartMissingError: there is no such object.
            PartError: it is not whole Parquet.
        """
        data = self.read(path)
        if data is None:
            raise PartMissingError(
                f"The part {path} is missing from {self.url}. Restore it from the bucket's versions."
            )
        try:
            file = pq.ParquetFile(pa.BufferReader(data))
            present = None if columns is None else [name for name in columns if name in file.schema_arrow.names]
            return file.read(columns=present)
        except (pa.ArrowException, OSError) as error:
            raise PartError(
                f"The part {path} in {self.url} is damaged ({error}). Restore it from the bucket's versions."
            ) from error

    def _see_that_it_is_there(self) -> None:
        """Tell a missing object from a missing bucket, which a request for an object does not; ask once."""
        if not self._is_there:
            try:
                next(iter(obstore.list(self._store, chunk_size=1)), None)
            except (BaseError, OSError) as error:
                raise self._error("be listed", error) from error
            self._is_there = True

    def _error(self, doing: str, error: Exception) -> LakeError:
        reason = " ".join(str(error).partition("Debug source")[0].split())
        return LakeError(f"The lake {self.url} could not {doing}: {reason}")


def _open(url: str) -> ObjectStore:
    parts = urlsplit(url)
    if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/"):
        try:
            return LocalStore(unquote(parts.path), mkdir=True)
        except OSError as error:
            raise SettingsError(f"{url} cannot be made a folder of the lake: {error}.") from error
    if parts.scheme == "s3" and parts.netloc:
        return _open_s3(parts.netloc, parts.path.strip("/"))
    raise SettingsError(f"{url!r} is no lake: give s3://bucket, s3://bucket/prefix or file:///absolute/folder.")


def _open_s3(bucket: str, prefix: str) -> S3Store:
    # boto3 finds credentials and the region wherever the AWS SDKs look; obstore's own search knows no profiles.
    import boto3  # noqa: PLC0415 - slow to import, and folders do not need it
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415
    from obstore.auth.boto3 import Boto3CredentialProvider  # noqa: PLC0415

    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    try:
        session = boto3.Session()
        provider = Boto3CredentialProvider(session)
    except (BotoCoreError, ValueError) as error:
        raise SettingsError(
            f"No AWS credentials for s3://{bucket} ({error}). Set AWS_PROFILE or AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or give the task a role."
        ) from error
    return S3Store(
        bucket,
        prefix=prefix or None,
        region=session.region_name or "us-east-1",
        endpoint=endpoint,
        client_options={"allow_http": bool(endpoint and endpoint.startswith("http://"))},
        credential_provider=provider,
    )
