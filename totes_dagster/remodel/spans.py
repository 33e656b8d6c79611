"""Spans of days: from the earliest to the latest that some rows name, which is all that the calendar has to know."""

from collections.abc import Iterable
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

Span = tuple[date, date] | None
"""The earliest and the latest of some days; None if there is none."""


def span_of(rows: pa.Table) -> Span:
    """The span of the days in all date columns (date32) of a fact's rows."""
    found = [pc.min_max(column).as_py() for column in rows.columns if column.type == pa.date32()]
    return whole_span((each["min"], each["max"]) if each["min"] else None for each in found)


def whole_span(spans: Iterable[Span]) -> Span:
    """The span of the days of all these."""
    days = [day for span in spans if span for day in span]
    return (min(days), max(days)) if days else None
