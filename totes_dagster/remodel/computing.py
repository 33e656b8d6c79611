"""Computing the parts of the processed zone. Importing this brings pandas, which takes a while, so it comes late."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

import pandas as pd
import pyarrow as pa

from totes_dagster.errors import PartMissingError
from totes_dagster.lake.manifest import Part
from totes_dagster.lake.processed import StarPart, part_path, star_schema
from totes_dagster.lake.zone import Lake
from totes_dagster.remodel import spans
from totes_dagster.remodel.frames import to_table
from totes_dagster.remodel.reading import read_ingested
from totes_dagster.remodel.rows import Remodelled, remodel_rows
from totes_dagster.remodel.spans import Span
from totes_dagster.remodel.tables import calendar
from totes_dagster.schema.registry import CALENDAR, FACTS, STAR_TABLES, inputs_of


def contents_of(part: StarPart, lake: Lake) -> Remodelled:
    """Compute a part from its inputs.

    Raises:
        PartError: a part of the ingestion zone is missing or damaged, or has another schema.
    """
    if STAR_TABLES[part.star] is CALENDAR:
        return calendar_contents(span_of(piece, lake) for piece in pieces_of(part))
    inputs = {name: read_ingested(lake.ingestion, name, parts) for name, parts in part.inputs.items()}
    return remodel_rows(part.star, inputs)


def calendar_from(days: Sequence[date]) -> pa.Table:
    """The calendar's rows for all years from the earliest to the latest of these days."""
    frame = calendar.dim_date(pd.Series(days, dtype=pd.ArrowDtype(pa.date32())))
    return to_table(frame, star_schema(CALENDAR.name))


@dataclass(frozen=True)
class FactPiece:
    """One part of a fact in a batch, as an input of the batch's calendar.

    Attributes:
        fact: the fact.
        path: the part's path in the processed zone, once it is remodelled.
        source: the source table that it is computed from.
        part: that table's part.
    """

    fact: str
    path: str
    source: str
    part: Part


def pieces_of(calendar_part: StarPart) -> list[FactPiece]:
    """The parts of facts whose days a part of the calendar has."""
    return [
        FactPiece(fact, part_path(fact, fact, calendar_part.batch, number), source, part)
        for fact in FACTS
        for source in inputs_of(fact)
        for number, part in enumerate(calendar_part.inputs.get(source, ()))
    ]


def span_of(piece: FactPiece, lake: Lake) -> Span:
    """The earliest and the latest day in one part of a fact: read where it is remodelled already, or else computed.

    Quarantined rows do not count.
    """
    columns = [field.name for field in star_schema(piece.fact) if field.type == pa.date32()]
    try:
        rows = lake.processed.read_part(piece.path, columns)
    except PartMissingError:
        inputs = {piece.source: read_ingested(lake.ingestion, piece.source, (piece.part,))}
        rows = remodel_rows(piece.fact, inputs).rows.select(columns)
    return spans.span_of(rows)


def calendar_contents(of_pieces: Iterable[Span]) -> Remodelled:
    """The contents of a part of the calendar: all days of the years that its facts name."""
    span = spans.whole_span(of_pieces)
    return Remodelled(calendar_from(span or ()), pa.table({}))
