"""The manifest of a feed's batch, and the paths of a feed's objects in both zones.

A feed has a log of its own in the ingestion zone, apart from totesys', so that every batch of totesys stays a state
that the source was in.
"""

from pydantic import AwareDatetime

from totes_dagster.lake.manifest import Committed, Part, Record


class TakenFile(Record):
    """A file of the landing zone that a batch has taken.

    `path` is its path in the feed's folder; `version`, the object's ETag there. `rows` counts all rows in it, those in
    quarantine included. `refused` is the reason why none of its rows was taken, if so; its bytes are then kept at
    `dead_letter`, unless they are too many. `repeats` is the path of a file with the same bytes that was taken before;
    its rows are not taken again.
    """

    path: str
    version: str
    sha256: str
    bytes: int
    landed_at: AwareDatetime
    rows: int = 0
    quarantined: int = 0
    refused: str | None = None
    dead_letter: str | None = None
    repeats: str | None = None


class FeedPart(Record):
    """The rows of some files, in their order; those that break the feed's contract are in `quarantine`."""

    rows: Part
    quarantine: Part | None = None


class FeedManifest(Committed):
    """A committed batch of a feed: the files that it takes, and their rows.

    `known` are parts with all files that this batch and those before it have taken, oldest first; see `known_files.py`
    of the package `feeds`.
    """

    feed: str
    taken_at: AwareDatetime
    files: tuple[TakenFile, ...]
    parts: tuple[FeedPart, ...]
    known: tuple[Part, ...]

    @property
    def rows(self) -> int:
        """Rows that keep the feed's contract."""
        return sum(part.rows.rows for part in self.parts)

    @property
    def quarantined(self) -> int:
        """Rows that break it."""
        return sum(file.quarantined for file in self.files)


def feed_folder(feed: str) -> str:
    """Folder of a feed's objects in the ingestion zone."""
    return f"feeds/{feed}"
