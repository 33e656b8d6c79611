"""The state of the stages: changes in the source, the newest batch, missing parts, and the warehouse.

How it is printed belongs to `cli/output.py`.
"""

from dataclasses import dataclass
from datetime import datetime

from totes_dagster.config.platform import Platform
from totes_dagster.ingest.run import changed_tables
from totes_dagster.ingest.wal.start import WARN_AFTER_BYTES, kept_log_bytes
from totes_dagster.lake.batch_log import BatchLog
from totes_dagster.remodel.run import missing_parts
from totes_dagster.schema.registry import STAR_TABLES
from totes_dagster.warehouse.migrations import HEAD, revision_of
from totes_dagster.warehouse.queries import NewestLoad, newest_load
from totes_dagster.warehouse.status import WarehouseStatus, warehouse_status


@dataclass(frozen=True)
class PlatformStatus:
    """The state of the stages.

    Attributes:
        changed: the declared source tables that the next batch would hold.
        head: number of the newest batch, 0 before the first.
        head_taken_at: when its snapshot was taken; None before the first.
        missing: how many parts the processed zone lacks, by star table; only tables that lack some.
        revision: the revision of the warehouse's schema; None if it was never migrated.
        newest: the newest batch that the warehouse has loaded.
        warehouse: what else the warehouse shows; None if it is not migrated to the newest revision.
        kept_log_bytes: how much of its log the source keeps for the platform; None if that does not read the log.
    """

    changed: list[str]
    head: int
    head_taken_at: datetime | None
    missing: dict[str, int]
    revision: str | None
    newest: NewestLoad
    warehouse: WarehouseStatus | None
    kept_log_bytes: int | None = None

    @property
    def is_current(self) -> bool:
        """Whether the warehouse shows the source as it is now."""
        return not self.changed and self.head == self.newest.batch and self.head > 0

    @property
    def problems(self) -> list[str]:
        """What is behind or broken, in a few words each; nothing if all stages are complete and current."""
        quarantined = sum(found.rows for found in self.warehouse.quarantined.values()) if self.warehouse else 0
        problems = {
            "the warehouse is behind the source": not self.is_current,
            "parts of the processed zone are missing": bool(self.missing),
            f"the warehouse is not at revision {HEAD}": self.revision != HEAD,
            f"{quarantined:,} rows are in quarantine": bool(quarantined),
            "the source keeps much of its log for the platform": (self.kept_log_bytes or 0) > WARN_AFTER_BYTES,
        }
        return [problem for problem, is_there in problems.items() if is_there]


def platform_status(platform: Platform) -> PlatformStatus:
    """Read the state of the stages; creates and changes nothing.

    Raises:
        LakeFolderMissingError: a folder that the settings name does not exist.
        WarehouseAheadError: the warehouse is newer than this version of the platform.
        TotesError: a database or the lake cannot be read.
    """
    lake = platform.lake
    if not platform.embedded:  # the embedded stack's zones cannot be mistyped; the first refresh creates them
        for zone in (lake.ingestion, lake.processed):
            zone.check_exists()
    log = BatchLog(lake.ingestion)
    head = log.head()
    changed = changed_tables(platform.source, lake.ingestion, from_log=platform.from_log)
    missing = {star: len(missing_parts(star, log, lake.processed)) for star in STAR_TABLES}
    revision, newest, warehouse = revision_of(platform.warehouse), NewestLoad(), None
    if revision == HEAD:
        warehouse = warehouse_status(platform.warehouse)
        newest = warehouse.newest
    elif revision is not None:
        with platform.warehouse.database.transaction(read_only=True) as connection:
            newest = newest_load(connection, platform.warehouse.schema)
    return PlatformStatus(
        changed=changed,
        head=head,
        head_taken_at=log.manifest(head).snapshot.taken_at if head else None,
        missing={star: count for star, count in missing.items() if count},
        revision=revision,
        newest=newest,
        warehouse=warehouse,
        kept_log_bytes=_kept_log_bytes(platform) if platform.from_log else None,
    )


def _kept_log_bytes(platform: Platform) -> int:
    with platform.source.transaction(read_only=True) as connection:
        return kept_log_bytes(connection, platform.lake.ingestion)
