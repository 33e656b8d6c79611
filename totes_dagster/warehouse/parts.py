"""The parts of the processed zone as a load takes them: read, or computed and written where they are missing."""

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from totes_dagster.errors import PartMissingError, PartSchemaError
from totes_dagster.lake.processed import REASON, RowCounts, StarPart, star_schema
from totes_dagster.lake.zone import Lake, Zone
from totes_dagster.remodel.run import Written, calendar_part, remodel_part, write_part
from totes_dagster.remodel.spans import Span
from totes_dagster.runtime.progress import Progress, silent
from totes_dagster.schema.arrow import arrow_schema, described
from totes_dagster.schema.bookkeeping import quarantine
from totes_dagster.schema.registry import inputs_of
from totes_dagster.schema.totesys import SOURCE_TABLES, key_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PartRows:
    """The contents of a part of the processed zone.

    Attributes:
        rows: rows of the star table, with the schema that `star_schema` gives it.
        quarantined: source rows in quarantine, with the columns of the warehouse's table `quarantine`.
    """

    rows: pa.Table
    quarantined: pa.Table


def read_part(part: StarPart, processed: Zone) -> PartRows:
    """Read a part of the processed zone.

    Raises:
        PartMissingError: the part, or its quarantine, does not exist: it is not remodelled yet, or was lost.
        PartSchemaError: the part does not have the columns of its table.
        PartError: the part is damaged.
    """
    rows = _checked(part, processed.read_part(part.path))
    if not RowCounts.of(rows).quarantined:
        return PartRows(rows, arrow_schema(quarantine.columns).empty_table())
    return PartRows(rows, read_quarantine(part, processed))


def read_quarantine(part: StarPart, processed: Zone) -> pa.Table:
    """The source rows in quarantine that belong to a part which has some, as rows of the warehouse's `quarantine`."""
    return _quarantine_rows(part, processed.read_part(part.quarantine))


class Parts:
    """Takes parts of batches.

    Attributes:
        written: what it wrote because it was missing, by batch and star table.
    """

    def __init__(self, lake: Lake, progress: Progress = silent) -> None:
        self.written: defaultdict[int, dict[str, Written]] = defaultdict(dict)
        self._lake = lake
        self._progress = progress

    def take(self, part: StarPart, spans: Sequence[Span] | None = None) -> PartRows:
        """Read a part; where it is missing, compute and write it.

        Args:
            part: the part.
            spans: for a part of the calendar, the days in the parts of facts, if they are known.

        Raises:
            PartSchemaError: the part does not have the columns of its table.
            PartError: the part is damaged, or cannot be computed because its inputs are missing or damaged.
        """
        try:
            return read_part(part, self._lake.processed)
        except PartMissingError:
            logger.debug("Batch %d of %s is not remodelled yet; remodelling it now.", part.batch, part.star)
        remodelled = remodel_part(part, self._lake) if spans is None else calendar_part(part, spans)
        rows = _checked(part, remodelled.contents.rows)
        batch = self.written[part.batch]
        batch[part.star] = batch.get(part.star, Written()) + write_part(remodelled, self._lake.processed)
        self._progress("remodel", part.star, rows.num_rows)
        return PartRows(rows, _quarantine_rows(part, remodelled.contents.quarantined))


def _checked(part: StarPart, rows: pa.Table) -> pa.Table:
    """Rows that have the columns of their table."""
    # Binary COPY does not check types: another type of the same width would be read as the column's.
    if not rows.schema.equals(star_schema(part.star)):
        raise PartSchemaError(
            f"The part {part.path} does not have the columns of {part.star}. Found: {described(rows.schema)}. "
            f"Expected: {described(star_schema(part.star))}."
        )
    return rows


def _quarantine_rows(part: StarPart, quarantined: pa.Table) -> pa.Table:
    """Quarantined source rows, as rows of the warehouse's table `quarantine`."""
    if not quarantined.num_rows:
        return arrow_schema(quarantine.columns).empty_table()
    source, count = inputs_of(part.star)[0], quarantined.num_rows
    columns = {
        "source_table": pa.repeat(pa.scalar(source), count),
        "source_key": quarantined.column(key_of(SOURCE_TABLES[source])),
        "reason": quarantined.column(REASON),
        "batch": pa.repeat(pa.scalar(part.batch, pa.int64()), count),
        "part": pa.repeat(pa.scalar(part.quarantine), count),
    }
    return pa.table(columns, arrow_schema(quarantine.columns))
