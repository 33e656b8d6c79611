"""Which files a feed has taken: an index that every batch carries on, so that a look need not read all manifests.

It is kept in parts, like the levels of a log-structured merge tree: a batch adds one with its own files, and merges it
with the one before until that is at least twice as large. So there are at most log2(n) + 1 parts for n files, and a
file is written again about as many times.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa

from totes_dagster.errors import PartDamagedError, PartSchemaError
from totes_dagster.lake.feed_manifest import TakenFile
from totes_dagster.lake.manifest import Part
from totes_dagster.lake.parquet import encoded
from totes_dagster.lake.zone import Zone
from totes_dagster.schema.arrow import described

_SCHEMA = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),
        pa.field("version", pa.string(), nullable=False),
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("refused", pa.bool_(), nullable=False),
    ]
)


@dataclass(frozen=True)
class KnownFiles:
    """The files that a feed has taken.

    Attributes:
        newest: for each path, the version taken last, and the SHA-256 of its bytes.
        taken: for each SHA-256 of a file that was not refused, the path under which it was taken first.
    """

    newest: dict[str, tuple[str, str]]
    taken: dict[str, str]

    @classmethod
    def read(cls, zone: Zone, parts: Iterable[Part]) -> "KnownFiles":
        """Read the index of a batch.

        Raises:
            PartError: a part of it is missing or damaged.
        """
        known = cls({}, {})
        for part in parts:
            for path, version, digest, refused in zip(
                *(column.to_pylist() for column in _read(zone, part)), strict=True
            ):
                known.add(path, version, digest, refused=refused)
        return known

    def add(self, path: str, version: str, digest: str, *, refused: bool) -> None:
        """Note that a file was taken."""
        self.newest.pop(path, None)  # so that the order is that in which they were taken
        self.newest[path] = version, digest
        if not refused:
            self.taken.setdefault(digest, path)

    def has(self, path: str, version: str) -> bool:
        """Whether this version is the one that was taken last under its path."""
        return path in self.newest and self.newest[path][0] == version

    @property
    def newest_digest(self) -> str | None:
        """SHA-256 of the file that was taken last; None if none was."""
        return next((digest for _, digest in reversed(self.newest.values())), None)

    def repeated_by(self, path: str, digest: str) -> str | None:
        """The path of the file that a new one repeats, byte for byte; None if it must be read.

        A path that had other bytes in between is read again: it shows again what it showed then.
        """
        if path in self.newest and self.newest[path][1] != digest:
            return None
        return self.taken.get(digest)


def extended(zone: Zone, folder: str, known: tuple[Part, ...], files: Iterable[TakenFile]) -> tuple[Part, ...]:
    """The parts of the index with more files; what is new is written to a folder of the zone."""
    rows = pa.Table.from_pylist(
        [
            {"path": each.path, "version": each.version, "sha256": each.sha256, "refused": each.refused is not None}
            for each in files
        ],
        _SCHEMA,
    )
    older = list(known)
    while older and older[-1].rows < 2 * rows.num_rows:
        rows = pa.concat_tables([_read(zone, older.pop()), rows])
    return (*older, stored(zone, folder, "known", rows))


def stored(zone: Zone, folder: str, name: str, rows: pa.Table) -> Part:
    """Store rows as a part whose name follows from its contents, so that storing it again changes nothing.

    Raises:
        PartDamagedError: the zone has an object of this name with other bytes.
    """
    data = encoded(rows)
    digest = hashlib.sha256(data).hexdigest()
    path = f"{folder}/{name}-{digest[:16]}.parquet"
    if not zone.create(path, data):
        raise PartDamagedError(
            f"The part {path} in {zone.url} is damaged: its name does not follow from its contents. Remove it; no "
            "batch has it yet."
        )
    return Part(path=path, rows=rows.num_rows, bytes=data.size)


def _read(zone: Zone, part: Part) -> pa.Table:
    rows = zone.read_part(part.path)
    if not rows.schema.equals(_SCHEMA):
        raise PartSchemaError(
            f"The part {part.path} in {zone.url} does not have the columns of an index of files. Found: "
            f"{described(rows.schema)}. Expected: {described(_SCHEMA)}. Restore it from the bucket's versions."
        )
    return rows
