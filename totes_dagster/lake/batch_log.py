"""The log of batches: manifests 1, 2, 3 … in the ingestion zone, created one at a time and never changed."""

import hashlib
from collections.abc import Callable

from totes_dagster.errors import ManifestDamagedError, ManifestMissingError
from totes_dagster.lake.manifest import Manifest
from totes_dagster.lake.zone import Zone


def manifest_path(batch: int) -> str:
    """Where a batch's manifest lies in the ingestion zone."""
    return f"batches/{batch:010}.json"


REMEMBERED = 100
"""How many manifests are kept after they were read: a rebuild reads all that there ever were, each some 30 kB."""


class BatchLog:
    """The committed batches of an ingestion zone."""

    def __init__(self, zone: Zone) -> None:
        self.zone = zone
        self._read: dict[int, tuple[Manifest, str]] = {}

    def head(self) -> int:
        """Number of the newest batch, 0 before the first."""
        return last_where(self.has)

    def check_head_is_last(self, head: int) -> None:
        """Refuse a log whose head is followed by a gap: the batch that comes next would take a lost one's place.

        Args:
            head: what `head` said.

        Raises:
            ManifestMissingError: the next manifest is missing, and the one after it is not.
        """
        # In this order: a batch that others commit meanwhile is there before the one after it.
        if self.has(head + 2) and not self.has(head + 1):
            raise self._missing(head + 1)

    def has(self, batch: int) -> bool:
        """Whether a batch is committed."""
        return batch in self._read or self.zone.exists(manifest_path(batch))

    def commit(self, manifest: Manifest) -> bool:
        """Commit a batch; return False where another ingest has committed this number."""
        return self.zone.create(manifest_path(manifest.batch), manifest.to_json())

    def manifest(self, batch: int) -> Manifest:
        """The manifest of a committed batch.

        Raises:
            ManifestMissingError: there is none.
            ManifestDamagedError, ManifestFormatError: it cannot be read.
        """
        return self._load(batch)[0]

    def digest(self, batch: int) -> str:
        """SHA-256 of the manifest's bytes, in hexadecimal."""
        return self._load(batch)[1]

    def _load(self, batch: int) -> tuple[Manifest, str]:
        # Manifests never change, so what was read once stays true.
        if batch not in self._read:
            path = manifest_path(batch)
            data = self.zone.read(path)
            if data is None:
                raise self._missing(batch)
            content = data.to_pybytes()
            manifest = Manifest.from_json(content, path)
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
        where = f"{manifest_path(batch)} is missing from {self.zone.url}"
        return ManifestMissingError(f"The manifest {where}. Restore it from the bucket's versions.")


def last_where(holds: Callable[[int], bool]) -> int:
    """The last number for which a condition holds that holds from 1 up to some number and not beyond; 0 for none.

    Asks for some 2·log2 of that number: a listing would page through every batch there ever was.
    """
    known, step = 0, 1
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
