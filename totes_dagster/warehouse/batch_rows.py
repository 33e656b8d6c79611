"""What a batch brings to a star table: parts of the processed zone, remodelled where they are missing.

And the rows that were set aside on the way, so that every ingested row can be accounted for.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field

import pyarrow as pa

from totes_dagster.errors import PartMissingError, RowsUnaccountedError
from totes_dagster.lake.manifest import Manifest
from totes_dagster.lake.store import Lake
from totes_dagster.remodel.quarantine import REASON
from totes_dagster.remodel.run import StarPart, driving_table, remodel_part, star_parts, write_star
from totes_dagster.runtime.progress import Progress
from totes_dagster.schema.arrow import arrow_schema
from totes_dagster.schema.totesys import TABLES, key_of
from totes_dagster.schema.warehouse import quarantine

logger = logging.getLogger(__name__)


@dataclass
class Incoming:
    """What a batch brings to a star table; iterated over once, it yields the parts, each with its path.

    Attributes:
        parts: the objects of the processed zone.
        aside: after the iteration, the quarantined rows: source_table, source_key, reason, batch, part.
    """

    star: str
    parts: list[StarPart]
    ingestion: Lake
    processed: Lake
    progress: Progress
    aside: list[pa.Table] = field(default_factory=list)

    @classmethod
    def of(cls, star: str, manifest: Manifest, ingestion: Lake, processed: Lake, progress: Progress) -> "Incoming":
        """What a batch brings to a star table, none of it read yet."""
        return cls(star, star_parts(star, manifest), ingestion, processed, progress)

    def __iter__(self) -> Iterator[tuple[str, pa.Table]]:
        for part in self.parts:
            rows, aside = self._read(part)
            if aside is not None:
                self.aside.append(aside)
            yield part.path, rows
            self.progress("load", self.star, rows.num_rows)

    @property
    def quarantined(self) -> int:
        """Rows set aside, after the iteration."""
        return sum(aside.num_rows for aside in self.aside)

    @property
    def ingested(self) -> int:
        """Rows of the driving source table, as the manifest counts them; of dim_date, no such rows exist."""
        if self.star == "dim_date":
            return 0
        return sum(piece.rows for part in self.parts for piece in part.inputs[driving_table(self.star)])

    def see_that_all_are_accounted_for(self, batch: int, staged: int) -> None:
        """Refuse a batch of which rows were lost or doubled on the way.

        Raises:
            RowsUnaccountedError: the rows ingested are not those staged and those quarantined.
        """
        if self.star != "dim_date" and self.ingested != staged + self.quarantined:
            raise RowsUnaccountedError(
                f"Batch {batch} has {self.ingested} rows of {driving_table(self.star)}, but {staged} of them arrived "
                f"for {self.star}, and {self.quarantined} are in quarantine. The batch is not loaded. Remove its parts "
                f"of {self.star} from {self.processed.url}, or restore them from the bucket's versions; what is "
                "missing is remodelled."
            )

    def _read(self, part: StarPart) -> tuple[pa.Table, pa.Table | None]:
        try:
            rows = self.processed.read_part(part.path)
            if not int((rows.schema.metadata or {}).get(b"quarantined", 0)):
                return rows, None
            aside = self.processed.read_part(part.quarantine)
        except PartMissingError:
            # Another refresh committed the batch and is not so far yet, or somebody lost the part.
            logger.info("Batch %d of %s is not remodelled yet; doing it now.", part.batch, self.star)
            done = remodel_part(part, self.ingestion)
            write_star(self.processed, [(part, done)])
            rows, aside = done.rows, done.quarantined
        return rows, _listed(part, aside) if aside.num_rows else None


def _listed(part: StarPart, quarantined: pa.Table) -> pa.Table:
    """Quarantined rows as the warehouse lists them."""
    source = driving_table(part.star)
    count = quarantined.num_rows
    columns = {
        "source_table": pa.repeat(pa.scalar(source), count),
        "source_key": quarantined.column(key_of(TABLES[source])),
        "reason": quarantined.column(REASON),
        "batch": pa.repeat(pa.scalar(part.batch, pa.int64()), count),
        "part": pa.repeat(pa.scalar(part.quarantine), count),
    }
    return pa.table(columns, arrow_schema(quarantine.columns))
