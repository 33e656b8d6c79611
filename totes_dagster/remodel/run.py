"""Running the second stage: committed batches of the ingestion zone become star-schema parts of the processed zone.

Which parts a batch becomes follows from its manifest alone (see `lake/processed.py`). So missing parts are found by
looking for them, a rerun fills only the gaps, and two concurrent remodels write the same objects.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa

from totes_dagster.lake.batch_log import BatchLog
from totes_dagster.lake.processed import StarPart, changes_of, star_parts
from totes_dagster.lake.zone import Lake, Zone

if TYPE_CHECKING:
    from totes_dagster.remodel.rows import Remodelled
    from totes_dagster.remodel.spans import Span


@dataclass(frozen=True)
class RemodelledPart:
    """A part of the processed zone, and its contents."""

    part: StarPart
    contents: "Remodelled"


@dataclass(frozen=True)
class Written:
    """What a remodel wrote for one star table; `newest` contains the rows of the last part."""

    batches: tuple[int, ...] = ()
    parts: int = 0
    rows: int = 0
    quarantined: int = 0
    bytes: int = 0
    newest: pa.Table | None = field(default=None, compare=False, repr=False)

    def __add__(self, later: "Written") -> "Written":
        return Written(
            batches=(*dict.fromkeys((*self.batches, *later.batches)),),
            parts=self.parts + later.parts,
            rows=self.rows + later.rows,
            quarantined=self.quarantined + later.quarantined,
            bytes=self.bytes + later.bytes,
            newest=self.newest if later.newest is None else later.newest,
        )


def missing_parts(star: str, log: BatchLog, processed: Zone) -> list[StarPart]:
    """The parts of a star table that committed batches imply and the processed zone lacks, oldest first.

    Walks back from the newest batch to the newest complete one. Remodels go forward in time, so all batches before that
    one are complete.
    """
    missing: list[StarPart] = []
    for manifest in changes_of(star, log, log.head()):
        parts = star_parts(star, manifest)
        # Check all parts: a remodel that was killed may have written only the first ones.
        gaps = _lacking(parts, processed)
        if parts and not gaps:
            break
        missing[:0] = gaps
    return missing


def _lacking(parts: list[StarPart], processed: Zone) -> list[StarPart]:
    """The parts, all of one star table and batch, that do not exist; found with one request for each thousand parts."""
    if len(parts) == 1:
        return [part for part in parts if not processed.exists(part.path)]
    present = {path for folder in {_folder_of(part) for part in parts} for path in processed.paths(folder)}
    return [part for part in parts if part.path not in present]


def _folder_of(part: StarPart) -> str:
    return part.path.rpartition("/")[0]


def remodel_part(part: StarPart, lake: Lake) -> RemodelledPart:
    """Compute a part of the processed zone from its inputs.

    Raises:
        PartError: a part of the ingestion zone is missing or damaged, or has another schema.
    """
    from totes_dagster.remodel.computing import contents_of  # noqa: PLC0415 - most refreshes find nothing to compute

    return RemodelledPart(part, contents_of(part, lake))


def calendar_part(part: StarPart, spans: Iterable["Span"]) -> RemodelledPart:
    """A part of the calendar, for facts whose days are known: the earliest and the latest of each of their parts."""
    from totes_dagster.remodel.computing import calendar_contents  # noqa: PLC0415 - most refreshes bring no new days

    return RemodelledPart(part, calendar_contents(spans))


def write_part(remodelled: RemodelledPart, processed: Zone) -> Written:
    """Write a part atomically, unless another remodel has already written it."""
    part, contents = remodelled.part, remodelled.contents
    if contents.quarantined.num_rows:
        # The quarantine first: once the star part exists, the batch counts as remodelled.
        processed.create_part(part.quarantine, contents.quarantined)
    created = processed.create_part(part.path, contents.rows)
    if created is None:
        return Written()
    return Written(
        batches=(part.batch,),
        parts=1,
        rows=created.rows,
        quarantined=contents.quarantined.num_rows,
        bytes=created.bytes,
        newest=contents.rows,
    )
