"""Taking a feed's new files: they become the feed's next batch, whole or not at all.

New are files that the landing zone lists and the feed's log does not: not those with a newer name or time, for a file
may arrive late, and not those that an event announced, for an event may be lost. What a file holds is decided by its
bytes alone, so a batch that is repeated after a failure stores the same objects.
"""

import hashlib
import logging
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime

import pyarrow as pa

from totes_dagster.errors import BatchConflictError, FileRefusedError, ObjectReplacedError
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

logger = logging.getLogger(__name__)


def take_files(
    feed: Feed, landing: LandingZone, ingestion: Zone, progress: Progress = silent
) -> Iterator[FeedManifest]:
    """Commit the files of a feed that it has not taken yet, as one batch or more; yield each after its commit.

    Args:
        feed: the feed.
        landing: where its files are.
        ingestion: the ingestion zone, which has the feed's log.
        progress: called with the number of rows as files are read.

    Raises:
        LakeError: the landing zone cannot be read, or the ingestion zone not written.
        PartError, ManifestDamagedError, ManifestMissingError: the feed's log is damaged.
        BatchConflictError: other processes took the next batch number on every attempt.
    """
    log = FeedLog(ingestion, feed.name)
    attempts = 0
    while True:
        previous = newest_batch(log)
        new = new_files(feed, landing, ingestion, previous)
        batch = _Batch(feed, landing, ingestion, previous, progress)
        batch.take(new[:MOST_FILES])
        if not batch.files:
            return
        manifest = batch.manifest()
        if log.commit(manifest):
            attempts = 0
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


def newest_batch(log: FeedLog) -> FeedManifest | None:
    """The manifest that the next batch follows; None before the first.

    Raises:
        ManifestMissingError: a manifest is missing, although later ones exist.
    """
    head = log.head()
    log.check_head_is_last(head)
    return log.manifest(head) if head else None


def new_files(feed: Feed, landing: LandingZone, ingestion: Zone, previous: FeedManifest | None) -> list[ObjectVersion]:
    """The files in the landing zone that no batch has taken in this version, oldest first."""
    known = KnownFiles.read(ingestion, previous.known if previous else ())
    return [file for file in landing.files(feed.name) if not known.has(landing.name_of(feed.name, file), file.version)]


class _Batch:
    """A batch that is being made."""

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

    def take(self, files: Iterable[ObjectVersion]) -> None:
        """Read files, in their order, and store their rows; leave the rest for the next batch when there are enough."""
        size = 0
        for file in files:
            if size > MOST_BATCH_BYTES:
                break
            size += file.bytes
            with suppress(ObjectReplacedError):  # the next look finds what is there then
                self._take(file)
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

    def _take(self, file: ObjectVersion) -> None:
        path = self._landing.name_of(self._feed.name, file)
        digest, rows, refused = "", None, f"It has more than {MOST_BYTES:,} bytes. Split it."
        if file.bytes <= MOST_BYTES:
            pieces = Digested(self._landing.read(file))
            try:
                rows = read_file(self._feed, path, pieces)
            except FileRefusedError as error:
                refused = str(error)
            digest = pieces.digest()
        taken = TakenFile(path=path, version=file.version, sha256=digest, bytes=file.bytes, landed_at=file.modified_at)
        if repeats := self._known.repeated_by(path, digest):
            taken = taken.model_copy(update={"repeats": repeats})
        elif rows is None:
            logger.warning("%s of %s was refused. %s", path, self._feed.name, refused)
            taken = taken.model_copy(update={"refused": refused, "dead_letter": self._dead_letter(file, digest)})
        else:
            quarantined = rows.quarantined.num_rows
            count = rows.rows.num_rows + quarantined
            taken = taken.model_copy(update={"rows": count, "quarantined": quarantined})
            self._waiting.append(rows)
            self._progress("ingest", self._feed.name, count)
        self._known.add(path, file.version, digest, refused=taken.refused is not None)
        self.files.append(taken)
        if sum(each.rows.num_rows for each in self._waiting) >= ROWS_A_PART:
            self._store()

    def _dead_letter(self, file: ObjectVersion, digest: str) -> str | None:
        """Keep the bytes of a file that was refused; return where, or None if they are too many."""
        if file.bytes > MOST_DEAD_BYTES:
            return None
        content = b"".join(self._landing.read(file))
        if hashlib.sha256(content).hexdigest() != digest:
            raise ObjectReplacedError(f"{file.path} was replaced while it was read.")
        path = f"{feed_folder(self._feed.name)}/dead_letters/{digest}"
        self._ingestion.create(path, content)
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
