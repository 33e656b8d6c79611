"""Running the second stage: committed batches of the ingestion zone become star-schema parts of the processed zone.

Which parts a batch becomes follows from its manifest alone (see `lake/processed.py`). So missing parts are found by
looking for them, a rerun fills only the gaps, and two concurrent remodels write the same objects.
"""

from dataclasses import dataclass, field

import pandas as pd
import pyarrow as pa

from totes_dagster.errors import PartMissingError
from totes_dagster.lake.batch_log import BatchLog
from totes_dagster.lake.processed import StarPart, changes_of, part_path, star_parts, star_schema
from totes_dagster.lake.zone import Lake, Zone
from totes_dagster.remodel.frames import to_frame, to_table
from totes_dagster.remodel.reading import read_ingested
from totes_dagster.remodel.rows import Remodelled, remodel_rows
from totes_dagster.remodel.tables import calendar
from totes_dagster.schema.registry import CALENDAR, FACTS, STAR_TABLES, inputs_of


@dataclass(frozen=True)
class RemodelledPart:
    """A part of the processed zone, and its contents."""

    part: StarPart
    contents: Remodelled


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
        gaps = [part for part in parts if not processed.exists(part.path)]
        if parts and not gaps:
            break
        missing[:0] = gaps
    return missing


def remodel_part(part: StarPart, lake: Lake) -> RemodelledPart:
    """Compute a part of the processed zone from its inputs.

    Raises:
        PartError: a part of the ingestion zone is missing or damaged, or has another schema.
    """
    if STAR_TABLES[part.star] is CALENDAR:
        return RemodelledPart(part, Remodelled(_calendar_of(part, lake), pa.table({})))
    inputs = {name: read_ingested(lake.ingestion, name, parts) for name, parts in part.inputs.items()}
    return RemodelledPart(part, remodel_rows(part.star, inputs))


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


def _calendar_of(part: StarPart, lake: Lake) -> pa.Table:
    """The calendar for the days in a batch's facts; quarantined rows do not count."""
    days = [
        calendar.named_days(to_frame(_days_of(fact, part, number, lake)))
        for fact in FACTS
        for source in inputs_of(fact)
        for number in range(len(part.inputs.get(source, ())))
    ]
    return to_table(calendar.dim_date(pd.concat(days, ignore_index=True)), star_schema(part.star))


def _days_of(fact: str, part: StarPart, number: int, lake: Lake) -> pa.Table:
    """The columns with days of one part of a fact in a batch: read where it is remodelled already, or else computed."""
    path, columns = (
        part_path(fact, fact, part.batch, number),
        [f.name for f in star_schema(fact) if f.type == pa.date32()],
    )
    try:
        return lake.processed.read_part(path, columns)
    except PartMissingError:
        (source,) = inputs_of(fact)
        piece = part.inputs[source][number]
        return remodel_rows(fact, {source: read_ingested(lake.ingestion, source, (piece,))}).rows.select(columns)
