"""Reading parts of the ingestion zone as the source is declared now, whichever version of the platform wrote them."""

from collections.abc import Collection
from contextlib import suppress

import pyarrow as pa

from totes_dagster.errors import PartDamagedError, PartSchemaError
from totes_dagster.ingest.exact_types import Misfits, fit, unfit_values_column
from totes_dagster.lake import ingested
from totes_dagster.lake.ingested import UNFIT_VALUES
from totes_dagster.lake.manifest import Part
from totes_dagster.lake.zone import Zone
from totes_dagster.schema.arrow import arrow_schema, described
from totes_dagster.schema.totesys import SOURCE_TABLES


def read_ingested(ingestion: Zone, table: str, parts: tuple[Part, ...]) -> pa.Table:
    """The rows of parts of a source table: its declared columns, and `UNFIT_VALUES`.

    Raises:
        PartError: a part is missing or damaged, or has another schema.
    """
    schema = arrow_schema(SOURCE_TABLES[table].columns)
    # Every column may contain nulls, because the source may have dropped its constraints.
    schema = pa.schema([pa.field(field.name, field.type) for field in schema])
    pieces = [ingested.with_unfit_values(schema.empty_table())]
    for part in parts:
        read = ingestion.read_part(part.path, columns=ingested.columns_to_read(schema.names))
        piece = ingested.with_unfit_values(_in_microseconds(read))
        piece = as_declared_now(piece, schema, _columns_added_later(table, part))
        found = piece.schema.remove_metadata()
        if found.names[:-1] != schema.names or found.types[:-1] != schema.types:
            raise PartSchemaError(
                f"The part {part.path} in {ingestion.url} does not have the columns of {table}. Found: "
                f"{described(found)}. Expected: {described(schema)}. Restore it from the bucket's versions."
            )
        if piece.num_rows != part.rows:
            raise PartDamagedError(
                f"The part {part.path} in {ingestion.url} has {piece.num_rows} rows; its manifest says {part.rows}. "
                "Restore it from the bucket's versions."
            )
        pieces.append(piece)
    return pa.concat_tables(pieces)


def as_declared_now(rows: pa.Table, schema: pa.Schema, added_later: Collection[str]) -> pa.Table:
    """Convert rows that were ingested before some of their columns were declared to the current declaration.

    Args:
        rows: rows with the column `UNFIT_VALUES`.
        schema: schema of the declared columns.
        added_later: columns that may be missing, because the source did not have them yet, or may still have the type
            that they arrived in. All other columns are left as they are.
    """
    misfits: dict[str, Misfits] = {}
    for name in added_later:
        type_ = schema.field(name).type
        if name not in rows.column_names:
            rows = rows.append_column(name, pa.nulls(rows.num_rows, type_))
        elif rows.schema.field(name).type != type_:
            with suppress(pa.ArrowNotImplementedError):  # types that cannot be converted into one another
                arrived = rows.column(name).combine_chunks()
                exact = arrived.cast(pa.string()) if pa.types.is_decimal(type_) else arrived
                values, misfits[name] = fit(exact, type_)
                rows = rows.set_column(rows.column_names.index(name), name, values)
    if any(misfits.values()):
        found = unfit_values_column(misfits, rows.num_rows).to_pylist()
        merged = [_merged(old, new) for old, new in zip(rows.column(UNFIT_VALUES).to_pylist(), found, strict=True)]
        position = rows.column_names.index(UNFIT_VALUES)
        rows = rows.set_column(position, UNFIT_VALUES, pa.array(merged, ingested.UNFIT_VALUES_TYPE))
    return rows.select([name for name in (*schema.names, UNFIT_VALUES) if name in rows.column_names])


def _merged(old: str | None, new: str | None) -> str | None:
    return ingested.unfit_values_text(ingested.unfit_values_from(old) | ingested.unfit_values_from(new))


def _in_microseconds(rows: pa.Table) -> pa.Table:
    """Rows with timestamps in microseconds; the oldest parts have milliseconds."""
    types = [pa.timestamp("us") if type_ == pa.timestamp("ms") else type_ for type_ in rows.schema.types]
    return rows.cast(pa.schema([field.with_type(type_) for field, type_ in zip(rows.schema, types, strict=True)]))


def _columns_added_later(table: str, part: Part) -> list[str]:
    """The columns of a source table that may have been declared only after a part was written."""
    columns = SOURCE_TABLES[table].columns
    return [column.name for column in columns if column.nullable or ingested.is_undeclared(part.path)]
