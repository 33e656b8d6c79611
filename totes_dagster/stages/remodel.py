"""The second stage: committed batches of the ingestion zone become star-schema parts of the processed zone.

What a batch must become follows from its manifest alone, down to the names of the objects. So what is missing is known
by looking, a re-run fills just the gaps, and two remodels at once are in nobody's way.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pyarrow as pa

from totes_dagster.lake.log import BatchLog
from totes_dagster.lake.manifest import Manifest, Part
from totes_dagster.lake.store import Lake
from totes_dagster.model import calendar, dimensions, facts
from totes_dagster.model.frames import to_frame, to_table
from totes_dagster.schema import totesys, warehouse
from totes_dagster.schema.arrow import arrow_schema
from totes_dagster.stages.progress import Progress, silent


@dataclass(frozen=True)
class Remodel:
    """How one star table is computed.

    Attributes:
        inputs: source tables, in the order of the function's parameters.
        function: one frame of the model, from one frame of each input.
    """

    inputs: tuple[str, ...]
    function: Callable[..., pd.DataFrame]


REMODELS: dict[str, Remodel] = {
    "dim_date": Remodel(("sales_order", "purchase_order", "payment"), calendar.dim_date),
    "dim_location": Remodel(("address",), dimensions.dim_location),
    "dim_counterparty": Remodel(("counterparty", "address"), dimensions.dim_counterparty),
    "dim_currency": Remodel(("currency",), dimensions.dim_currency),
    "dim_design": Remodel(("design",), dimensions.dim_design),
    "dim_payment_type": Remodel(("payment_type",), dimensions.dim_payment_type),
    "dim_staff": Remodel(("staff", "department"), dimensions.dim_staff),
    "dim_transaction": Remodel(("transaction",), dimensions.dim_transaction),
    "fact_sales_order": Remodel(("sales_order",), facts.fact_sales_order),
    "fact_purchase_order": Remodel(("purchase_order",), facts.fact_purchase_order),
    "fact_payment": Remodel(("payment",), facts.fact_payment),
}


@dataclass(frozen=True)
class StarPart:
    """One object of the processed zone, as its batch's manifest implies it.

    Attributes:
        inputs: for each source table, the parts of the ingestion zone that it is computed from.
    """

    star: str
    batch: int
    path: str
    inputs: dict[str, tuple[Part, ...]]


@dataclass(frozen=True)
class Written:
    """What a remodel wrote of one star table."""

    batches: tuple[int, ...] = ()
    parts: int = 0
    rows: int = 0
    bytes: int = 0


def star_schema(star: str) -> pa.Schema:
    """The Arrow schema of a star table's parts."""
    return arrow_schema(warehouse.remodelled_columns(warehouse.TABLES[star]))


def star_parts(star: str, manifest: Manifest) -> list[StarPart]:
    """The parts of a star table that a batch must have: none where the batch brings nothing to it.

    Event tables are remodelled part by part, so that memory is bounded by a part. Dimensions of reference tables are
    one part each, computed from whole tables, of which some may have come with earlier batches.
    """
    remodel = REMODELS[star]
    if not all(name in manifest.tables for name in remodel.inputs):
        return []  # from before the source table was known
    brought = [name for name in remodel.inputs if manifest.brings(name)]
    version = warehouse.remodel_version_of(warehouse.TABLES[star])
    folder = f"{star}/v{version}/batch={manifest.batch:010}"
    if star == "dim_date":
        inputs = {name: manifest.tables[name].parts for name in brought if manifest.tables[name].parts}
        return [StarPart(star, manifest.batch, f"{folder}/part-00000.parquet", inputs)] if inputs else []
    if not brought:
        return []
    entries = {name: manifest.tables[name] for name in remodel.inputs}
    if totesys.capture_of(totesys.TABLES[remodel.inputs[0]]) is totesys.Capture.CHANGES:
        (name,) = remodel.inputs
        return [
            StarPart(star, manifest.batch, f"{folder}/part-{number:05}.parquet", {name: (part,)})
            for number, part in enumerate(entries[name].parts)
        ]
    inputs = {name: entry.parts for name, entry in entries.items()}
    return [StarPart(star, manifest.batch, f"{folder}/part-00000.parquet", inputs)]


def missing_parts(star: str, log: BatchLog, processed: Lake) -> list[StarPart]:
    """The parts of a star table that committed batches imply and the processed zone lacks, oldest first.

    Walks back from the newest batch to the newest one that is complete: as remodels go forwards in time, all before it
    are. From a table's last change it leaps to the one before, so quiet batches cost nothing.
    """
    missing: list[StarPart] = []
    batch = log.head()
    while batch:
        manifest = log.manifest(batch)
        known = [manifest.tables[name].batch for name in REMODELS[star].inputs if name in manifest.tables]
        last_change = max(known, default=0)
        if last_change < batch:
            batch = last_change
            continue
        parts = star_parts(star, manifest)
        # All of them: a remodel that was killed may have left the first ones.
        gaps = [part for part in parts if not processed.exists(part.path)]
        if parts and not gaps:
            break
        missing[:0] = gaps
        batch -= 1
    return missing


def remodelled(
    star: str, ingestion: Lake, processed: Lake, progress: Progress = silent
) -> Iterator[tuple[StarPart, pa.Table]]:
    """Compute what the processed zone lacks of a star table, part by part, oldest first.

    Raises:
        InvalidRowsError: a source row cannot become a row of the star table.
        PartError: a part of the ingestion zone is missing or damaged.
    """
    for part in missing_parts(star, BatchLog(ingestion), processed):
        rows = remodel_part(part, ingestion)
        yield part, rows
        progress("remodel", star, rows.num_rows)


def write_star(processed: Lake, parts: Iterable[tuple[StarPart, pa.Table]]) -> Written:
    """Write parts of a star table, each put whole; what another remodel wrote first is left as it is."""
    written = Written()
    for part, rows in parts:
        created = processed.create_part(part.path, rows)
        if created:
            written = Written(
                batches=(*dict.fromkeys((*written.batches, part.batch)),),
                parts=written.parts + 1,
                rows=written.rows + created.rows,
                bytes=written.bytes + created.bytes,
            )
    return written


def remodel_part(part: StarPart, ingestion: Lake) -> pa.Table:
    """Compute a part of the processed zone from its inputs.

    Raises:
        InvalidRowsError: a source row cannot become a row of the star table.
        PartError: a part of the ingestion zone is missing or damaged.
    """
    remodel = REMODELS[part.star]
    if part.star == "dim_date":
        days: list[Any] = [
            calendar.named_days(to_frame(ingestion.read_part(source.path, columns=[key, *_days_of(name)])), key)
            for name, sources in part.inputs.items()
            for key in [totesys.key_of(totesys.TABLES[name])]
            for source in sources
        ]
        frames = [pd.concat(days, ignore_index=True)]
    else:
        frames = [to_frame(_read(ingestion, name, part.inputs[name])) for name in remodel.inputs]
    return to_table(remodel.function(*frames), star_schema(part.star), part.star)


def _read(ingestion: Lake, name: str, parts: tuple[Part, ...]) -> pa.Table:
    declared = arrow_schema(totesys.TABLES[name].columns)
    if not parts:
        return declared.empty_table()
    return pa.concat_tables([ingestion.read_part(part.path, columns=declared.names) for part in parts])


def _days_of(name: str) -> list[str]:
    """The columns of an event table that name a day, as dim_date declares them."""
    sources = warehouse.dim_date.c.date_id.info["sources"]
    return [column for table, column in (source.split(".") for source in sources) if table == name]
