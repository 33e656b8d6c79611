"""Comparing the warehouse with the source.

Event tables are compared by checksums of key ranges, which take one pass over each side. Only in ranges whose checksums
differ are rows compared. All other tables are small and are compared whole. The expected rows are computed by the
platform's own remodel.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date

import pandas as pd
import psycopg
import pyarrow as pa
from psycopg import sql
from psycopg.types.string import TextLoader
from sqlalchemy import Table

from totes_dagster.ingest.capture import TableCapture
from totes_dagster.ingest.contract import deviations_of, has_unique_keys, refuse_broken
from totes_dagster.ingest.reader import SnapshotReader, open_reader
from totes_dagster.ingest.snapshot import SourceSnapshot, tables_read
from totes_dagster.lake.ingested import UNFIT_VALUES, UNFIT_VALUES_TYPE
from totes_dagster.lake.processed import star_schema
from totes_dagster.reconcile.checksums import HashedRows, RangeChecksum, current_relation, source_rows, warehouse_rows
from totes_dagster.reconcile.differences import Findings, Row, TableDifferences
from totes_dagster.reconcile.spreading import Spreading
from totes_dagster.remodel.frames import to_table
from totes_dagster.remodel.rows import remodel_rows
from totes_dagster.remodel.tables import calendar
from totes_dagster.runtime.progress import Progress, silent
from totes_dagster.schema.arrow import arrow_type
from totes_dagster.schema.registry import CALENDAR, STAR_TABLES, driving_table_of, inputs_of
from totes_dagster.schema.star import is_fact, natural_key_of, remodelled_columns
from totes_dagster.schema.totesys import SOURCE_TABLES, Capture, capture_of
from totes_dagster.warehouse.queries import named_days_statement
from totes_dagster.warehouse.version_audit import repeated_versions

__all__ = ["TableDifferences", "compare"]

ROWS_AT_ONCE = 2**15
"""How many rows are compared at a time, which bounds the memory."""

_YEARS_AT_ONCE = 100


@dataclass(frozen=True)
class _Sides:
    """The two sides of a comparison, each in one snapshot.

    Attributes:
        snapshot: the source.
        reader: a bulk connection in the snapshot.
        warehouse: a connection in a repeatable-read transaction.
        schema: the warehouse's schema.
        spreading: how workers take part; None if they do not.
    """

    snapshot: SourceSnapshot
    reader: SnapshotReader
    warehouse: psycopg.Connection
    schema: str
    spreading: Spreading | None

    def ingested(self, name: str, keys: list[int] | None = None) -> pa.Table:
        """The rows of a source table as an ingest reads them: all rows, or those with the given keys."""
        catalogue = self.snapshot.catalogue
        content = Capture.WHOLE if keys is None else Capture.CHANGES
        capture = TableCapture(content, keys=tuple(keys or ()), unique_keys=has_unique_keys(catalogue, name))
        batches = self.reader.rows(name, catalogue.tables[name], capture)
        declared = [(column.name, arrow_type(column)) for column in SOURCE_TABLES[name].columns]
        schema = pa.schema([*declared, (UNFIT_VALUES, UNFIT_VALUES_TYPE)])
        return pa.Table.from_batches([batch.select(schema.names) for batch in batches], schema)

    def current_rows(self, star: Table, condition: sql.Composable) -> Iterator[Row]:
        """The current rows of a star table in the warehouse that meet a condition, with dates and times as text."""
        cursor = self.warehouse.cursor()
        for type_ in ("date", "time"):  # PostgreSQL has infinite dates and the time 24:00, but Python does not
            cursor.adapters.register_loader(type_, TextLoader)
        columns = sql.SQL(", ").join(sql.Identifier(column.name) for column in remodelled_columns(star))
        relation = current_relation(self.schema, star)
        statement = sql.SQL("select {} from {} where {}").format(columns, relation, condition)
        yield from cursor.execute(statement)


def compare(
    snapshot: SourceSnapshot,
    warehouse: psycopg.Connection,
    schema: str,
    progress: Progress = silent,
    spreading: Spreading | None = None,
) -> dict[str, TableDifferences]:
    """Compare every star table with the source.

    Args:
        snapshot: the source. If the warehouse is at another batch than this snapshot, changes between the two are
            reported as differences.
        warehouse: a connection in a repeatable-read transaction of `postgres.transactions`.
        schema: the warehouse's schema.
        progress: notified of rows as they are compared.
        spreading: how workers take part; None if they do not.

    Returns:
        The differences by star table. Source rows that cannot become rows of the warehouse are not differences: they
        are in quarantine, and the warehouse's rows with their keys are not compared.

    Raises:
        SourceSchemaError: the source's tables break the contract.
        DatabaseError: a database cannot be reached, refuses, or closes the connection.
    """
    refuse_broken(deviations_of(snapshot.catalogue))
    found: dict[str, TableDifferences] = {}
    with open_reader(snapshot) as reader, reader.transaction(tables_read(snapshot.catalogue)):
        sides = _Sides(snapshot, reader, warehouse, schema, spreading)
        for name, star in STAR_TABLES.items():
            found[name] = _differences(sides, star)
            progress("compare", name, found[name].rows)
    return found


def _differences(sides: _Sides, star: Table) -> TableDifferences:
    driving = driving_table_of(star.name)
    if driving is None:
        return _calendar_differences(sides)
    if capture_of(SOURCE_TABLES[driving]) is Capture.CHANGES:
        return _event_differences(sides, star, driving)
    return _reference_differences(sides, star)


def _calendar_differences(sides: _Sides) -> TableDifferences:
    """Compare the calendar with all days of the years from the first to the last day in it or in a fact."""
    findings = Findings(CALENDAR, authority="calendar")
    bounds: sql.Composed = named_days_statement(sides.schema)
    ((first, last),) = sides.warehouse.execute(bounds).fetchall()
    rows = 0
    for start in [] if first is None else range(first.year, last.year + 1, _YEARS_AT_ONCE):
        ends = date(start, 1, 1), date(min(start + _YEARS_AT_ONCE - 1, last.year), 12, 31)
        days = calendar.dim_date(pd.Series(ends, dtype=pd.ArrowDtype(pa.date32())))
        current = sides.current_rows(CALENDAR, sql.SQL("date_id between {} and {}").format(*ends))
        findings.compare_rows(to_table(days, star_schema(CALENDAR.name)), current)
        rows += len(days)
    return findings.differences(rows)


def _reference_differences(sides: _Sides, star: Table) -> TableDifferences:
    """Compare a dimension of reference tables whole."""
    findings = Findings(star)
    inputs = {name: sides.ingested(name) for name in inputs_of(star.name)}
    expected = remodel_rows(star.name, inputs).rows
    findings.compare_rows(expected, sides.current_rows(star, sql.SQL("true")))
    return findings.differences(expected.num_rows)


def _event_differences(sides: _Sides, star: Table, driving: str) -> TableDifferences:
    """Compare a star table of an event table by checksums, and row by row in ranges where they differ."""
    findings = Findings(star)
    source = source_rows(sides.snapshot.connection, sides.snapshot.catalogue, star)
    warehouse = warehouse_rows(sides.warehouse, sides.schema, star)
    source_ranges, warehouse_ranges = _range_checksums(sides, star, source, warehouse)
    ranges = source_ranges.keys() | warehouse_ranges.keys()
    differing = sorted(number for number in ranges if source_ranges.get(number) != warehouse_ranges.get(number))
    if not is_fact(star):
        # Members stay after their source rows are gone, so a range that has only such members is correct.
        differing = [number for number in differing if number in source_ranges]
    suspects: list[int] = []
    for number in differing:
        source_hashes, warehouse_hashes = source.row_hashes(number), warehouse.row_hashes(number)
        suspects += {key for key, _ in source_hashes - warehouse_hashes}
        if is_fact(star):
            findings.add_extra({key for key, _ in warehouse_hashes} - {key for key, _ in source_hashes})
        if len(suspects) >= ROWS_AT_ONCE:
            _compare_by_value(sides, star, driving, suspects, findings)
            suspects = []
    if suspects:
        _compare_by_value(sides, star, driving, suspects, findings)
    unaccounted: list[str] = []
    if is_fact(star):
        repeated, unaccounted = repeated_versions(sides.warehouse, sides.schema, star)
        findings.add_repeated(repeated)
    return findings.differences(
        sum(checksum.rows for checksum in source_ranges.values()),
        ranges=len(ranges),
        ranges_descended=len(differing),
        unaccounted=unaccounted,
    )


def _range_checksums(
    sides: _Sides, star: Table, source: HashedRows, warehouse: HashedRows
) -> tuple[dict[int, RangeChecksum], dict[int, RangeChecksum]]:
    """The checksums of both sides, computed by the two servers at the same time; of large tables, by workers."""
    if sides.spreading:
        bounds = [bound for rows in (source, warehouse) for bound in rows.key_bounds() or ()]
        found = sides.spreading.range_checksums(star.name, (min(bounds), max(bounds))) if bounds else None
        if found:
            return found
    with ThreadPoolExecutor(1) as pool:
        of_warehouse = pool.submit(warehouse.range_checksums)
        of_source = source.range_checksums()
        return of_source, of_warehouse.result()


def _compare_by_value(sides: _Sides, star: Table, driving: str, keys: list[int], findings: Findings) -> None:
    """Compare rows by value, except for those in quarantine, which the checksums include."""
    expected = remodel_rows(star.name, {driving: sides.ingested(driving, keys)}).rows
    condition = sql.SQL("{} = any ({}::integer[])").format(sql.Identifier(natural_key_of(star)), sql.Literal(keys))
    findings.compare_rows(expected, sides.current_rows(star, condition))
