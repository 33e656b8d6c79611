"""The manifest: the one small JSON object whose existence commits a batch.

What a manifest contains, and how it is serialized. Storing and finding manifests is in `batch_log.py`.
"""

from typing import Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from totes_dagster.errors import ManifestDamagedError, ManifestFormatError
from totes_dagster.schema.totesys import Capture


class Record(BaseModel):
    """A JSON object of exactly the declared members."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Committed(Record):
    """A JSON object whose existence commits a batch."""

    format: Literal[1] = 1
    batch: int

    def to_json(self) -> bytes:
        """The object's bytes: a single line, because query engines treat each line of a JSON object in S3 as a row."""
        return self.model_dump_json().encode()

    @classmethod
    def from_json(cls, data: bytes, path: str) -> Self:
        """Read a manifest's bytes.

        Raises:
            ManifestFormatError: the manifest has a format that this version of the platform does not support.
            ManifestDamagedError: the bytes are not a manifest.
        """
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            first, *_ = faults = error.errors()
            for fault in faults:
                if fault["loc"] == ("format",) and type(fault["input"]) is int:
                    raise ManifestFormatError(
                        f"The manifest {path} cannot be read: it has format {fault['input']}, which this version of "
                        "the platform does not support. Upgrade the platform."
                    ) from error
            where = ".".join(map(str, first["loc"])) or "the object"
            raise ManifestDamagedError(
                f"The manifest {path} is damaged: {where}: {first['msg']}. Restore the object from the bucket's "
                "versions."
            ) from error


class Part(Record):
    """One immutable Parquet object of the lake, with its number of rows and its size in bytes."""

    path: str
    rows: int
    bytes: int


class Snapshot(Record):
    """The source snapshot that a batch shows.

    `xmin` and `xmax` are 64-bit transaction ids: when the snapshot was taken, every transaction before `xmin` had
    ended, and none from `xmax` on had begun. The other fields identify the cluster that the ids belong to. A copy of a
    cluster's files has the same values, except for the time at which its server was started.

    `in_recovery` says whether the server is a standby. `wal_position` is a position in the write-ahead log. On a
    primary, everything that the snapshot shows was written before it; on a standby, the snapshot shows everything that
    was written before it.
    """

    taken_at: AwareDatetime
    xmin: int
    xmax: int
    system_identifier: int
    timeline: int
    database_oid: int
    server_started_at: AwareDatetime | None = None
    in_recovery: bool = False
    wal_position: int | None = None

    def same_history(self, other: "Snapshot") -> bool:
        """Whether both snapshots certainly belong to the same history of the same database.

        A standby learns late which timeline it follows, so its timeline is trusted only if both snapshots were taken on
        the same standby.
        """
        same_standby = self.in_recovery == other.in_recovery and self.server_started_at == other.server_started_at
        return self._claims_history_of(other) and (same_standby or not (self.in_recovery or other.in_recovery))

    def is_behind(self, other: "Snapshot") -> bool:
        """Whether this is a standby's snapshot that may not yet show everything that the other one shows."""
        return (
            self.in_recovery
            and self._claims_history_of(other)
            and self.wal_position is not None
            and other.wal_position is not None
            and self.wal_position < other.wal_position
        )

    def _claims_history_of(self, other: "Snapshot") -> bool:
        return (self.system_identifier, self.timeline, self.database_oid) == (
            other.system_identifier,
            other.timeline,
            other.database_oid,
        )


class Census(Record):
    """The result of one scan of a source table, by which two states of the table are compared.

    `table_oid` distinguishes the table from another of the same name. `columns` is a digest of the table's definition.
    `keys` is the checksum of the primary keys, `versions` that of the row versions (key and `xmin`): equal checksums
    with equal counts mean the same keys and the same versions. `keyed` says whether every row has a unique key that the
    warehouse can store.
    """

    table_oid: int
    columns: str = ""
    rows: int
    keys: int
    versions: int
    keyed: bool = True


class AddedKeys(Record):
    """How many keys were added to the range of this number, and their checksum; see `lake/key_ranges.py`."""

    number: int
    keys: int
    checksum: int


class TableEntry(Record):
    """A source table in a manifest: carried over unchanged for as long as the table does not change.

    `batch` is the batch that brought `parts`. `live_keys` are parts with keys that the table still has, if rows may
    have been deleted: with its keys in `live_ranges`, or all its keys if that is None. They are an empty tuple if there
    are no such keys left, and None if no row was deleted.

    `key_ranges` counts the table's keys by ranges, as they were before `added_keys` were added to them. It is None if
    they have not been counted: in a manifest of an older version, or because the keys are not unique.

    `logged` are parts with one row per change that the batch took from the write-ahead log, see `LOGGED_SCHEMA` in
    `lake/ingested.py`; empty if it did not. The census and the counts of keys are then those of an earlier batch, and
    `logged_ranges` are the ranges in which the log has changed keys since then, by number.
    """

    batch: int
    content: Capture
    census: Census
    parts: tuple[Part, ...]
    live_keys: tuple[Part, ...] | None = None
    live_ranges: tuple[int, ...] | None = None
    key_ranges: Part | None = None
    added_keys: tuple[AddedKeys, ...] = ()
    logged: tuple[Part, ...] = ()
    logged_ranges: tuple[int, ...] = ()

    @property
    def rows(self) -> int:
        """Rows captured, over all parts."""
        return sum(part.rows for part in self.parts)


class LogPosition(Record):
    """Up to where batches have taken the source's write-ahead log, when changes are captured from there.

    A transaction is in this batch or an earlier one if its commit lies before `position`, or if the snapshot `seen`
    shows it, in which the tables were counted last (written as PostgreSQL does: `xmin:xmax:xip`). `slot` is the
    replication slot. `definitions` is a digest of what would change how the log reads, were it changed: the definitions
    of the tables and of the publication. `unseen` are ids of transactions that are in the batch although the snapshot
    that was held did not show them yet: a snapshot that does not show them either is older than the batch.
    """

    slot: str
    position: int
    seen: str
    definitions: str
    unseen: tuple[int, ...] = ()


class Manifest(Committed):
    """A committed batch: for every source table, the parts with its newest content.

    `contract` is the digest of the source's catalogue, which is stored in the same zone (see
    `lake/source_catalogue.py`). `counted` is the snapshot in which the tables' censuses were taken, if that is another
    than the batch's own. `log` is None unless changes are captured from the write-ahead log.
    """

    contract: str = ""
    snapshot: Snapshot
    tables: dict[str, TableEntry]
    counted: Snapshot | None = None
    log: LogPosition | None = None

    @property
    def census_snapshot(self) -> Snapshot:
        """The snapshot in which the tables' censuses were taken."""
        return self.counted or self.snapshot

    def brings(self, table: str) -> bool:
        """Whether this batch itself has new content of the source table."""
        return table in self.tables and self.tables[table].batch == self.batch

    @property
    def rows(self) -> int:
        """Rows that this batch itself captured, over all tables."""
        return sum(entry.rows for name, entry in self.tables.items() if self.brings(name))
