"""The landing zone: a bucket or a folder into which others drop files, and from which the platform only reads.

Each feed has a folder there, with the feed's name.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath

from totes_dagster.lake.zone import ObjectVersion, Zone

SETTLED_AFTER = timedelta(seconds=2)
"""A file in a folder that was written to more recently may not be complete yet. Objects in a bucket always are."""

_UNFINISHED = (".tmp", ".part", ".partial", ".crdownload")
"""How programs call a file while they write it."""


class LandingZone:
    """Where a feed's files are dropped.

    Args:
        zone: the landing zone.
        settled_after: see `SETTLED_AFTER`.
    """

    def __init__(self, zone: Zone, settled_after: timedelta = SETTLED_AFTER) -> None:
        self.zone = zone
        self._settled_after = settled_after

    @property
    def settled(self) -> "LandingZone":
        """The same, without a wait: for a feed whose files only the platform drops, complete at once."""
        return LandingZone(self.zone, timedelta(0))

    def files(self, feed: str) -> list[ObjectVersion]:
        """The files of a feed that are complete, oldest first. Hidden files and folders are left out.

        Raises:
            LakeError: the landing zone cannot be listed.
        """
        now = datetime.now(UTC)
        found = [each for each in self.zone.objects(feed) if not _is_unfinished(self.name_of(feed, each))]
        if self.zone.url.startswith("file:"):
            found = [each for each in found if self._is_settled(each, now)]
        return sorted(found, key=lambda each: (each.modified_at, each.path))

    def name_of(self, feed: str, file: ObjectVersion) -> str:
        """A file's path in the feed's folder."""
        return file.path.removeprefix(f"{feed}/")

    def read(self, file: ObjectVersion) -> Iterator[bytes]:
        """A file's bytes, piece by piece.

        Raises:
            ObjectReplacedError: it was replaced or removed since it was listed.
            LakeError: it cannot be read.
        """
        return self.zone.pieces(file)

    def _is_settled(self, file: ObjectVersion, now: datetime) -> bool:
        age = now - file.modified_at
        return age >= self._settled_after or age < timedelta()  # a clock that is ahead would keep it waiting


def _is_unfinished(path: str) -> bool:
    parts: Iterable[str] = PurePosixPath(path).parts
    return any(part.startswith(".") for part in parts) or path.lower().endswith(_UNFINISHED) or path.endswith("/")
