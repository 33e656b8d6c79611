"""Taking a feed's new files: they become the feed's next batch, whole or not at all.

New are files that the landing zone lists and the feed's log does not: not those with a newer name or time, for a file
may arrive late, and not those that an event announced, for an event may be lost. What a file holds is decided by its
bytes alone, so a batch that is repeated after a failure stores the same objects.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa

from totes_dagster.errors import BatchConflictError, FileRefusedError, LakeError, ObjectReplacedError
from totes_dagster.feeds.declared import Feed
from totes_dagster.feeds.files import QUARANTINE, Digested, FileRows, ingested_schema, read_file
from totes_dagster.feeds.known_files import KnownFiles, extended, stored
from totes_dagster.feeds.landing import LandingZone
from totes_dagster.feeds.reading import MOST_BYTES
from totes_dagster.lake.batch_log import FeedLog
from totes_dagster.lake.feed_manifest import FeedManifest, FeedPart, TakenFile, feed_folder
from totes_dagster.lake.zone import ObjectVersion, Zone
from totes_dagster.runtime.progress import Progress, silent

ATTEMPTS = 5
"""How many times to try when another process commits first."""

MOST_FILES = 1_000
"""The most files of a batch, which bounds its manifest."""

MOST_BATCH_BYTES = 1 << 30
"""When the files of a batch have more bytes than this, as they are stored, the next file begins another."""

ROWS_A_PART = 250_000
"""When a part has this many rows, the next file begins another."""

MOST_DEAD_BYTES = 16 << 20
"""Of a refused file, at most this many bytes are kept: those of a longer one only the landing zone has."""

LONGEST_PATH = 1_024
"""The most bytes that a file's path may have, as in a bucket: the warehouse has an index of them."""

_FEW = 5

logger = logging.getLogger(__name__)


def take_files(
    feed: Feed, landing: LandingZone, ingestion: Zone, progress: Progress = silent, *, most_files: int = MOST_FILES
) -> Iterator[FeedManifest]:
    """Commit the files of a feed that it has not taken yet, as one batch or more; yield each after its commit.

    A file that cannot be read stops no other. It is named in the log, and when nothing else is left to take, it is an
    error.

    Args:
        feed: the feed.
        landing: where its files are.
        ingestion: the ingestion zone, which has the feed's log.
        progress: called with the number of rows as files are read.
        most_files: the most files of a batch.

    Raises:
        LakeError: the landing zone cannot be read, or the ingestion zone not written; or there are files that cannot be
            read, and no others.
        PartError, ManifestDamagedError, ManifestMissingError: the feed's log is damaged.
        BatchConflictError: other processes took the next batch number on every attempt.
    """
    log = FeedLog(ingestion, feed.name)
    attempts, committed = 0, False
    while True:
        previous = log.newest()
        batch = _Batch(feed, landing, ingestion, previous, progress)
        batch.take(most_files)
        if not batch.files:
            if batch.unreadable and not committed:
                raise LakeError(
                    f"{len(batch.unreadable)} files of {feed.name} in {landing.zone.url} cannot be read; all others "
                    f"are taken. {' '.join(batch.unreadable[:_FEW])}"
                )
            return
        manifest = batch.manifest()
        if log.commit(manifest):
            attempts, committed = 0, True
            logger.info("Committed batch %d of %s: %d files.", manifest.batch, feed.name, len(manifest.files))
            yield manifest
            continue
        attempts += 1
        if attempts == ATTEMPTS:
            raise BatchConflictError(
                f"Other processes committed the next batch of {feed.name} first, {ATTEMPTS} times in a row. Nothing is "
                "lost; take the feed in one process at a time."
            )
        logger.info("Another process committed batch %d of %s first. Starting over.", manifest.batch, feed.name)


def new_files(feed: Feed, landing: LandingZone, ingestion: Zone, previous: FeedManifest | None) -> list[ObjectVersion]:
    """The files in the landing zone that no batch has taken in this version, oldest first."""
    return _not_in(KnownFiles.read(ingestion, previous.known if previous else ()), feed, landing)


def _not_in(known: KnownFiles, feed: Feed, landing: LandingZone) -> list[ObjectVersion]:
    return [file for file in landing.files(feed.name) if not known.has(landing.name_of(feed.name, file), file.version)]


@dataclass(frozen=True)
class _ReadFile:
    """What was read: the digest of the bytes, and the rows; or why there are none, and the bytes if they are few."""

    digest: str
    rows: FileRows | None
    refused: str = ""
    content: bytes | None = None


class _Batch:
    """A batch that is being made.

    Attributes:
        files: what it takes.
        unreadable: a sentence about each file that it cannot take, and does not.
    """

    def __init__(
        self, feed: Feed, landing: LandingZone, ingestion: Zone, previous: FeedManifest | None, progress: Progress
    ) -> None:
        self._feed = feed
        self._landing = landing
        self._ingestion = ingestion
        self._previous = previous
        self._progress = progress
        self._taken_at = datetime.now(UTC)
        self._number = previous.batch + 1 if previous else 1
        self._folder = f"{feed_folder(feed.name)}/batch={self._number:010}"
        self._known = KnownFiles.read(ingestion, previous.known if previous else ())
        self._parts: list[FeedPart] = []
        self._waiting: list[FileRows] = []
        self.files: list[TakenFile] = []
        self.unreadable: list[str] = []

    def take(self, most_files: int) -> None:
        """Read new files, oldest first, and store their rows; leave some for the next batch if there are too many."""
        size = 0
        for file in _not_in(self._known, self._feed, self._landing):
            if size > MOST_BATCH_BYTES or len(self.files) == most_files:
                break
            path = self._landing.name_of(self._feed.name, file)
            try:
                read = self._read(path, file)
            except ObjectReplacedError:
                continue  # the next look finds what is there then
            except LakeError as error:
                if error.transient:
                    raise
                logger.warning("%s of %s is not taken. %s", path, self._feed.name, error)
                self.unreadable.append(str(error))
                continue
            size += file.bytes
            self._take(path, file, read)
        self._store()

    def manifest(self) -> FeedManifest:
        """The manifest that commits the batch."""
        known = self._previous.known if self._previous else ()
        return FeedManifest(
            batch=self._number,
            feed=self._feed.name,
            taken_at=self._taken_at,
            files=tuple(self.files),
            parts=tuple(self._parts),
            known=extended(self._ingestion, self._folder, known, self.files),
        )

    def _read(self, path: str, file: ObjectVersion) -> "_ReadFile":
        """Read a file from the landing zone.

        Raises:
            ObjectReplacedError: it was replaced or removed since it was listed.
            LakeError: it cannot be read.
        """
        if len(path.encode()) > LONGEST_PATH:
            raise LakeError(f"The path {path[:60]}… has more than {LONGEST_PATH:,} bytes. Rename the file.")
        if file.bytes > MOST_BYTES:
            return _ReadFile("", None, refused=f"It has more than {MOST_BYTES:,} bytes. Split it.")
        pieces = Digested(self._landing.read(file), MOST_DEAD_BYTES)
        try:
            rows = read_file(self._feed, path, pieces)
        except FileRefusedError as error:
            return _ReadFile(pieces.digest(), None, str(error), pieces.content())
        return _ReadFile(pieces.digest(), rows)

    def _take(self, path: str, file: ObjectVersion, read: "_ReadFile") -> None:
        taken = TakenFile(
            path=path, version=file.version, sha256=read.digest, bytes=file.bytes, landed_at=file.modified_at
        )
        repeats = None if self._feed.restates else self._known.repeated_by(path, read.digest)
        if repeats:
            taken = taken.model_copy(update={"repeats": repeats})
        elif read.rows is None:
            logger.warning("%s of %s was refused. %s", path, self._feed.name, read.refused)
            taken = taken.model_copy(update={"refused": read.refused, "dead_letter": self._dead_letter(read)})
        else:
            quarantined = read.rows.quarantined.num_rows
            count = read.rows.rows.num_rows + quarantined
            taken = taken.model_copy(update={"rows": count, "quarantined": quarantined})
            self._waiting.append(read.rows)
            self._progress("ingest", self._feed.name, count)
        self._known.add(path, file.version, read.digest, refused=taken.refused is not None)
        self.files.append(taken)
        if sum(len(each.rows) + len(each.quarantined) for each in self._waiting) >= ROWS_A_PART:
            self._store()

    def _dead_letter(self, read: "_ReadFile") -> str | None:
        """Keep the bytes of a file that was refused; return where, or None if they are too many."""
        if read.content is None:
            return None
        path = f"{feed_folder(self._feed.name)}/dead_letters/{read.digest}"
        self._ingestion.create(path, read.content)
        return path

    def _store(self) -> None:
        """Store the rows that wait as a part."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        rows = pa.concat_tables([ingested_schema(self._feed).empty_table(), *(each.rows for each in waiting)])
        quarantined = pa.concat_tables([QUARANTINE.empty_table(), *(each.quarantined for each in waiting)])
        self._parts.append(
            FeedPart(
                rows=stored(self._ingestion, self._folder, "rows", rows),
                quarantine=stored(self._ingestion, self._folder, "quarantine", quarantined)
                if len(quarantined)
                else None,
            )
        )
