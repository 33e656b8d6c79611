"""The second stage: committed batches of the ingestion zone become star-schema parts of the processed zone.

What a batch must become follows from its manifest alone, down to the names of the objects. So what is missing is known
by looking, a re-run fills just the gaps, and two remodels at once are in nobody's way.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import pandas as pd
import pyarrow as pa

from totes_dagster.errors import PartDamagedError, PartSchemaError
from totes_dagster.ingest.contract import UNDECLARED
from totes_dagster.ingest.exact_types import UNFIT, as_declared_since
from totes_dagster.lake.batch_log import BatchLog
from totes_dagster.lake.manifest import Manifest, Part
from totes_dagster.lake.store import Lake
from totes_dagster.remodel.frames import to_frame, to_table
from totes_dagster.remodel.quarantine import set_aside, sound_rows
from totes_dagster.remodel.tables import calendar, dimensions, facts
from totes_dagster.runtime.progress import Progress, silent
from totes_dagster.schema import totesys, warehouse
from totes_dagster.schema.arrow import arrow_schema
from totes_dagster.warehouse.streams import described


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
        path: where the star table's rows lie.
        quarantine: where the source rows lie that could not become such, if there are any.
        inputs: for each source table, the parts of the ingestion zone that it is computed from.
    """

    star: str
    batch: int
    path: str
    quarantine: str
    inputs: dict[str, tuple[Part, ...]]


@dataclass(frozen=True)
class Remodelled:
    """What rows of the source became.

    Attributes:
        rows: of a star table.
        quarantined: source rows that could not become such, with the reason.
    """

    rows: pa.Table
    quarantined: pa.Table


@dataclass(frozen=True)
class Written:
    """What a remodel wrote of one star table; `newest` are the rows of the last part."""

    batches: tuple[int, ...] = ()
    parts: int = 0
    rows: int = 0
    quarantined: int = 0
    bytes: int = 0
    newest: pa.Table | None = field(default=None, compare=False, repr=False)


def star_schema(star: str) -> pa.Schema:
    """The Arrow schema of a star table's parts."""
    return arrow_schema(warehouse.remodelled_columns(warehouse.TABLES[star]))


def driving_table(star: str) -> str:
    """The source table for whose rows a star table has one row each; dim_date has none, but for its first input."""
    return REMODELS[star].inputs[0]


def star_parts(star: str, manifest: Manifest) -> list[StarPart]:
    """The parts of a star table that a batch must have: none where the batch brings nothing to it.

    Event tables are remodelled part by part, so that memory is bounded by a part. Dimensions of reference tables are
    one part each, computed from whole tables, of which some may have come with earlier batches.
    """
    remodel = REMODELS[star]
    if not all(name in manifest.tables for name in remodel.inputs):
        return []  # from before the source table was known
    brought = {name: manifest.tables[name].parts for name in remodel.inputs if manifest.brings(name)}
    if star == "dim_date":
        inputs = [{name: parts for name, parts in brought.items() if parts}]
    elif totesys.capture_of(totesys.TABLES[driving_table(star)]) is totesys.Capture.CHANGES:
        inputs = [{name: (part,)} for name, parts in brought.items() for part in parts]
    else:
        inputs = [{name: manifest.tables[name].parts for name in remodel.inputs}] if brought else []
    version = warehouse.remodel_version_of(warehouse.TABLES[star])
    where = f"v{version}/batch={manifest.batch:010}"
    return [
        StarPart(
            star,
            manifest.batch,
            path=f"{star}/{where}/part-{number:05}.parquet",
            quarantine=f"quarantine/{driving_table(star)}/{where}/part-{number:05}.parquet",
            inputs=tables,
        )
        for number, tables in enumerate(inputs)
        if tables
    ]


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
) -> Iterator[tuple[StarPart, Remodelled]]:
    """Compute what the processed zone lacks of a star table, part by part, oldest first.

    Raises:
        PartError: a part of the ingestion zone is missing, damaged, or of another schema.
    """
    for part in missing_parts(star, BatchLog(ingestion), processed):
        done = remodel_part(part, ingestion)
        yield part, done
        progress("remodel", star, done.rows.num_rows)


def write_star(processed: Lake, parts: Iterable[tuple[StarPart, Remodelled]]) -> Written:
    """Write parts of a star table, each put whole; what another remodel wrote first is left as it is."""
    written = Written()
    for part, done in parts:
        if done.quarantined.num_rows:
            # First: once the star part is there, nobody comes back to this one.
            processed.create_part(part.quarantine, done.quarantined)
        created = processed.create_part(part.path, done.rows)
        if created:
            written = Written(
                batches=(*dict.fromkeys((*written.batches, part.batch)),),
                parts=written.parts + 1,
                rows=written.rows + created.rows,
                quarantined=written.quarantined + done.quarantined.num_rows,
                bytes=written.bytes + created.bytes,
                newest=done.rows,
            )
    return written


def remodel_part(part: StarPart, ingestion: Lake) -> Remodelled:
    """Compute a part of the processed zone from its inputs.

    Raises:
        PartError: a part of the ingestion zone is missing, damaged, or of another schema.
    """
    if part.star == "dim_date":
        return Remodelled(_calendar(part, ingestion), pa.table({}))
    return remodel_rows(part.star, {name: _read(ingestion, name, parts) for name, parts in part.inputs.items()})


def remodel_rows(star: str, inputs: dict[str, pa.Table]) -> Remodelled:
    """Remodel rows of the source into rows of a star table, one for one, but for those that have to be set aside.

    Args:
        star: any star table but dim_date.
        inputs: rows of each source table that it is computed from, as they are ingested.

    Returns:
        Star rows of `star_schema`, whose metadata says how many rows were ingested and quarantined; and those of the
        quarantine's schema.
    """
    remodel, table = REMODELS[star], warehouse.TABLES[star]
    driving, *lookups = remodel.inputs
    ingested = _with_unfit(inputs[driving])
    looked_up = {name: sound_rows(table, name, _with_unfit(inputs[name])) for name in lookups}
    sound = [rows for rows, _ in looked_up.values()]
    rows = remodel.function(*(to_frame(rows.drop_columns(UNFIT)) for rows in (ingested, *sound)))
    references = {key.parent.name: key.column.table.name for key in totesys.TABLES[driving].foreign_keys}
    unsound = {column: looked_up[name][1] for column, name in references.items() if name in looked_up}
    kept, quarantined = set_aside(table, driving, ingested, rows, unsound)
    counts = {"ingested": str(ingested.num_rows), "quarantined": str(quarantined.num_rows)}
    return Remodelled(to_table(kept, star_schema(star)).replace_schema_metadata(counts), quarantined)


def _calendar(part: StarPart, ingestion: Lake) -> pa.Table:
    """The calendar of the days that a batch's facts name; quarantined rows name none."""
    days = [
        calendar.named_days(to_frame(remodel_rows(fact, {source: _read(ingestion, source, (piece,))}).rows))
        for fact in warehouse.FACTS
        for source in (driving_table(fact),)
        for piece in part.inputs.get(source, ())
    ]
    return to_table(calendar.dim_date(pd.concat(days, ignore_index=True)), star_schema(part.star))


def _with_unfit(rows: pa.Table) -> pa.Table:
    if UNFIT in rows.column_names:
        return rows
    return rows.append_column(UNFIT, pa.nulls(rows.num_rows, pa.string()))


def _in_microseconds(rows: pa.Table) -> pa.Table:
    """Rows of which the oldest parts hold stamps in milliseconds."""
    types = [pa.timestamp("us") if type_ == pa.timestamp("ms") else type_ for type_ in rows.schema.types]
    return rows.cast(pa.schema([field.with_type(type_) for field, type_ in zip(rows.schema, types, strict=True)]))


def _declared_late(name: str, part: Part) -> list[str]:
    """The columns of a source table that a part of it may be older than the declaration of."""
    columns = totesys.TABLES[name].columns
    return [column.name for column in columns if column.nullable or part.path.startswith(f"{UNDECLARED}/")]


def _read(ingestion: Lake, name: str, parts: tuple[Part, ...]) -> pa.Table:
    schema = arrow_schema(totesys.TABLES[name].columns)
    # Nothing is promised by the source's constraints, which it may drop.
    schema = pa.schema([pa.field(field.name, field.type) for field in schema])
    pieces = [_with_unfit(schema.empty_table())]
    for part in parts:
        piece = _with_unfit(_in_microseconds(ingestion.read_part(part.path, columns=[*schema.names, UNFIT])))
        piece = as_declared_since(piece, schema, _declared_late(name, part))
        found = piece.schema.remove_metadata()
        if found.names[:-1] != schema.names or found.types[:-1] != schema.types:
            raise PartSchemaError(
                f"The part {part.path} in {ingestion.url} does not have the columns of {name}. Found: "
                f"{described(found)}. Expected: {described(schema)}. Restore it from the bucket's versions."
            )
        if piece.num_rows != part.rows:
            raise PartDamagedError(
                f"The part {part.path} in {ingestion.url} has {piece.num_rows} rows; its manifest says {part.rows}. "
                "Restore it from the bucket's versions."
            )
        pieces.append(piece)
    return pa.concat_tables(pieces)
