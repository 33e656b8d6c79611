"""The manifest: the one small JSON object whose existence commits a batch.

What a manifest says, and how it is written and read. Where manifests are kept is in `log.py`.
"""

from typing import Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from totes_dagster.errors import ManifestDamagedError, ManifestFormatError
from totes_dagster.schema.totesys import Capture


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Part(_Record):
    """One immutable Parquet object of the lake; `bytes` is its size there."""

    path: str
    rows: int
    bytes: int


class Snapshot(_Record):
    """The source snapshot that a batch shows.

    `xmin` and `xmax` are 64-bit transaction ids: every transaction before `xmin` had ended when the snapshot was taken,
    none from `xmax` on had begun. The other fields tell one cluster's ids from another's; a copy of a cluster's files
    has them all, but for the moment at which its server was started.

    `in_recovery` says whether the server is a standby. `wal_position` is a position in the write-ahead log: of a
    primary, one past all that the snapshot shows; of a standby, one up to which the snapshot shows everything.
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
        """Whether both snapshots certainly count transactions of one and the same history of one database.

        A standby learns late which timeline it follows, so its word counts only while it is the same standby.
        """
        same_standby = self.in_recovery == other.in_recovery and self.server_started_at == other.server_started_at
        return self._claims_history_of(other) and (same_standby or not (self.in_recovery or other.in_recovery))

    def is_behind(self, other: "Snapshot") -> bool:
        """Whether this is a standby's snapshot that may not show yet what the other one did."""
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


class Census(_Record):
    """What one scan of a source table counted.

    `table_oid` tells the table from another that takes its name; `columns`, a digest of its definition, from what it
    was before that changed. `keys` is the checksum of the primary keys, `versions` that of the row versions (key and
    `xmin`): equal checksums with equal counts mean the same keys, the same versions.
    `keyed` says whether every row has a key of its own that the warehouse can hold.
    """

    table_oid: int
    columns: str = ""
    rows: int
    keys: int
    versions: int
    keyed: bool = True


class TableEntry(_Record):
    """A source table in a manifest: carried over unchanged for as long as the table does not change.

    `batch` is the batch that brought `parts`. `live_keys` are parts with all keys of the table where rows may be gone,
    no parts where none are left; None where nothing is gone.
    """

    batch: int
    content: Capture
    census: Census
    parts: tuple[Part, ...]
    live_keys: tuple[Part, ...] | None = None

    @property
    def rows(self) -> int:
        """Rows captured, over all parts."""
        return sum(part.rows for part in self.parts)


class Manifest(_Record):
    """A committed batch: for every source table, where its newest content lies.

    `contract` names the source's catalogue as it was, which lies beside the manifests (see `lake/source_catalogue.py`).
    """

    format: Literal[1] = 1
    batch: int
    contract: str = ""
    snapshot: Snapshot
    tables: dict[str, TableEntry]

    def brings(self, table: str) -> bool:
        """Whether this very batch has new content of the source table."""
        return table in self.tables and self.tables[table].batch == self.batch

    @property
    def rows(self) -> int:
        """Rows that this very batch captured, over all tables."""
        return sum(entry.rows for name, entry in self.tables.items() if self.brings(name))

    def to_json(self) -> bytes:
        """The object's bytes: one line, as what queries JSON in S3 takes a line for a row."""
        return self.model_dump_json().encode()

    @classmethod
    def from_json(cls, data: bytes, path: str) -> Self:
        """Read a manifest's bytes.

        Raises:
            ManifestFormatError: the manifest is of a format that is not known.
            ManifestDamagedError: the bytes are not a manifest.
        """
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            first, *_ = faults = error.errors()
            for fault in faults:
                if fault["loc"] == ("format",) and type(fault["input"]) is int:
                    raise ManifestFormatError(
                        f"The manifest {path} cannot be read: it is of format {fault['input']}, which this version of "
                        "the platform does not know. Upgrade the platform."
                    ) from error
            where = ".".join(map(str, first["loc"])) or "the object"
            raise ManifestDamagedError(
                f"The manifest {path} cannot be read: {where}: {first['msg']}. It is damaged: restore the object from "
                "the bucket's versions."
            ) from error
