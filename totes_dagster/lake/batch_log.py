"""The log of batches: manifests 1, 2, 3 … in the ingestion zone, created one at a time and never changed.

What a manifest contains is in `manifest.py`, and for feeds, each of which has a log of its own, in `feed_manifest.py`.
"""

import hashlib
from collections.abc import Callable
from typing import Generic, TypeVar

from totes_dagster.errors import ManifestDamagedError, ManifestMissingError
from totes_dagster.lake.feed_manifest import FeedManifest, feed_folder
from totes_dagster.lake.manifest import Manifest
from totes_dagster.lake.zone import Zone

M = TypeVar("M", Manifest, FeedManifest)


def manifest_path(batch: int) -> str:
    """Path of a batch's manifest in a log's folder, which for totesys is the ingestion zone itself."""
    return f"batches/{batch:010}.json"


REMEMBERED = 100
"""How many manifests are kept in memory. A rebuild reads all that were ever committed, of about 30 kB each."""


_heads: dict[str, int] = {}
"""The newest batch that this process has found, by the URL of the log's folder."""


class Log(Generic[M]):
    """Committed batches.

    Args:
        zone: the ingestion zone.
        kind: the class of the manifests.
        folder: the folder in the zone that holds the log, with a slash at its end; empty for the zone itself.
    """

    def __init__(self, zone: Zone, kind: type[M], folder: str = "") -> None:
        self.zone = zone
        self._kind: type[M] = kind
        self._folder = folder
        self._read: dict[int, tuple[M, str]] = {}
        self._head = 0

    def path_of(self, batch: int) -> str:
        """Path of a batch's manifest in the ingestion zone."""
        return f"{self._folder}{manifest_path(batch)}"

    def head(self) -> int:
        """Number of the newest batch; 0 before the first.

        Once it is known, the next look is a single request. What another log of this process has found is a guess: the
        lake may have been restored since. If it holds, a look does not take longer the more batches there are.
        """
        url = f"{self.zone.url}/{self._folder}"
        guess = _heads.get(url, 0)
        if guess > self._head and self.has(guess):
            self._head = guess
        self._head = _heads[url] = last_where(self.has, known=self._head)
        return self._head

    def newest(self) -> M | None:
        """The manifest that the next batch follows; None before the first.

        For a census, it must be read before the source's snapshot is taken.

        Raises:
            ManifestMissingError: a manifest is missing, although later ones exist.
        """
        head = self.head()
        self.check_head_is_last(head)
        return self.manifest(head) if head else None

    def check_head_is_last(self, head: int) -> None:
        """Refuse a log that has a gap after its head: the next batch would take the place of a lost one.

        Args:
            head: what `head` returned.

        Raises:
            ManifestMissingError: the next manifest is missing, and the one after it is not.
        """
        # In this order: if other ingests commit both batches meanwhile, the first exists before the second.
        if self.has(head + 2) and not self.has(head + 1):
            raise self._missing(head + 1)

    def has(self, batch: int) -> bool:
        """Whether a batch is committed."""
        return batch in self._read or self.zone.exists(self.path_of(batch))

    def commit(self, manifest: M) -> bool:
        """Commit a batch; return False if another ingest has already committed this number."""
        return self.zone.create(self.path_of(manifest.batch), manifest.to_json())

    def manifest(self, batch: int) -> M:
        """The manifest of a committed batch.

        Raises:
            ManifestMissingError: the manifest does not exist.
            ManifestDamagedError, ManifestFormatError: the manifest cannot be read.
        """
        return self._load(batch)[0]

    def digest(self, batch: int) -> str:
        """SHA-256 of the manifest's bytes, in hexadecimal."""
        return self._load(batch)[1]

    def _load(self, batch: int) -> tuple[M, str]:
        # Manifests never change, so they can be cached.
        if batch not in self._read:
            path = self.path_of(batch)
            data = self.zone.read(path)
            if data is None:
                raise self._missing(batch)
            content = data.to_pybytes()
            manifest = self._kind.from_json(content, path)
            if manifest.batch != batch:
                raise ManifestDamagedError(
                    f"The manifest {path} in {self.zone.url} says it is batch {manifest.batch}. Restore it from the "
                    "bucket's versions."
                )
            self._read[batch] = manifest, hashlib.sha256(content).hexdigest()
            if len(self._read) > REMEMBERED:
                del self._read[next(iter(self._read))]
        return self._read[batch]

    def _missing(self, batch: int) -> ManifestMissingError:
        where = f"{self.path_of(batch)} is missing from {self.zone.url}"
        return ManifestMissingError(f"The manifest {where}. Restore it from the bucket's versions.")


class BatchLog(Log[Manifest]):
    """The committed batches of totesys."""

    def __init__(self, zone: Zone) -> None:
        super().__init__(zone, Manifest)


class FeedLog(Log[FeedManifest]):
    """The committed batches of a feed.

    Args:
        zone: the ingestion zone.
        feed: the feed's name.
    """

    def __init__(self, zone: Zone, feed: str) -> None:
        super().__init__(zone, FeedManifest, f"{feed_folder(feed)}/")


def last_where(holds: Callable[[int], bool], *, known: int = 0) -> int:
    """The last number for which a condition holds, by exponential search; 0 if there is none.

    Evaluates the condition about 2·log2 times of how far that number is from the known one. Listing the manifests would
    page through all of them.

    Args:
        holds: a condition that holds for every number from 1 up to some number, and for none after it.
        known: a number up to which it is known to hold.
    """
    step = 1
    while holds(known + step):
        known += step
        step *= 2
    # known holds, known + step does not.
    beyond = known + step
    while beyond - known > 1:
        middle = (known + beyond) // 2
        if holds(middle):
            known = middle
        else:
            beyond = middle
    return known
