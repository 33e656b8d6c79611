"""Computing the parts of the processed zone. Importing this brings pandas, which takes a while, so it comes late."""

from collections.abc import Sequence
from datetime import date

import pandas as pd
import pyarrow as pa

from totes_dagster.errors import PartMissingError
from totes_dagster.lake.processed import StarPart, part_path, star_schema
from totes_dagster.lake.zone import Lake
from totes_dagster.remodel.frames import to_frame, to_table
from totes_dagster.remodel.reading import read_ingested
from totes_dagster.remodel.rows import Remodelled, remodel_rows
from totes_dagster.remodel.tables import calendar
from totes_dagster.schema.registry import CALENDAR, FACTS, STAR_TABLES, inputs_of


def contents_of(part: StarPart, lake: Lake) -> Remodelled:
    """Compute a part from its inputs.

    Raises:
        PartError: a part of the ingestion zone is missing or damaged, or has another schema.
    """
    if STAR_TABLES[part.star] is CALENDAR:
        return Remodelled(_calendar_of(part, lake), pa.table({}))
    inputs = {name: read_ingested(lake.ingestion, name, parts) for name, parts in part.inputs.items()}
    return remodel_rows(part.star, inputs)


def calendar_from(days: Sequence[date]) -> pa.Table:
    """The calendar's rows for all years from the earliest to the latest of these days."""
    frame = calendar.dim_date(pd.Series(days, dtype=pd.ArrowDtype(pa.date32())))
    return to_table(frame, star_schema(CALENDAR.name))


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
