"""The comparing half of reconciliation: the warehouse against the source, row by row where checksums differ.

Event tables are compared by checksums of key ranges, which cost one pass over each side; only ranges that differ are
looked into. All else is small, and compared whole. What the rows must be, the platform's own remodel says.
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
from totes_dagster.ingest.contract import deviations_of, has_unique_keys, see_that_it_holds
from totes_dagster.ingest.exact_types import UNFIT
from totes_dagster.ingest.reader import Follower, follower_of
from totes_dagster.ingest.snapshot import Leader, tables_read
from totes_dagster.reconcile.checksums import HashedRows, RangeChecksum, shown, source_rows, warehouse_rows
from totes_dagster.reconcile.differences import Findings, Row, TableDifferences
from totes_dagster.remodel.frames import to_table
from totes_dagster.remodel.run import REMODELS, driving_table, remodel_rows, star_schema
from totes_dagster.remodel.tables import calendar
from totes_dagster.runtime.progress import Progress, silent
from totes_dagster.schema.arrow import arrow_type
from totes_dagster.schema.totesys import TABLES as SOURCE_TABLES
from totes_dagster.schema.totesys import Capture, capture_of
from totes_dagster.schema.warehouse import TABLES, days_named, dim_date, is_fact, natural_key_of, remodelled_columns
from totes_dagster.warehouse.version_audit import repeated_versions

__all__ = ["TableDifferences", "compare"]

ROWS_AT_ONCE = 2**15
"""Bounds the memory of looking closer."""

_YEARS_AT_ONCE = 100


@dataclass(frozen=True)
class _Sides:
    """The two sides of a comparison, each in one state.

    Attributes:
        leader: the source's snapshot.
        follower: a bulk connection in it.
        warehouse: a connection in one repeatable-read transaction.
        schema: the warehouse's schema.
    """

    leader: Leader
    follower: Follower
    warehouse: psycopg.Connection
    schema: str

    def ingested(self, name: str, keys: list[int] | None = None) -> pa.Table:
        """Rows of a source table as an ingest reads them: all of them, or those with some keys."""
        catalogue = self.leader.catalogue
        content = Capture.WHOLE if keys is None else Capture.CHANGES
        capture = TableCapture(content, keys=tuple(keys or ()), unique_keys=has_unique_keys(catalogue, name))
        batches = self.follower.rows(name, catalogue.tables[name], capture)
        declared = [(column.name, arrow_type(column)) for column in SOURCE_TABLES[name].columns]
        schema = pa.schema([*declared, (UNFIT, pa.string())])
        return pa.Table.from_batches([batch.select(schema.names) for batch in batches], schema)

    def shown(self, star: Table, condition: sql.Composable) -> Iterator[Row]:
        """Rows that the warehouse shows now, with days and times as text."""
        cursor = self.warehouse.cursor()
        for type_ in ("date", "time"):  # PostgreSQL has infinite days and a 24 o'clock, Python has not
            cursor.adapters.register_loader(type_, TextLoader)
        columns = sql.SQL(", ").join(sql.Identifier(column.name) for column in remodelled_columns(star))
        statement = sql.SQL("select {} from {} where {}").format(columns, shown(self.schema, star), condition)
        yield from cursor.execute(statement)


def compare(
    leader: Leader, warehouse: psycopg.Connection, schema: str, progress: Progress = silent
) -> dict[str, TableDifferences]:
    """Compare every star table with what the source says it must be.

    Args:
        leader: the source's snapshot. Where the warehouse does not show the source as it was then, what changed between
            is different.
        warehouse: a connection in a repeatable-read transaction of `postgres.transactions`.
        schema: the warehouse's schema.
        progress: notified of rows as they are compared.

    Returns:
        The differences by star table. Source rows that cannot become rows of the warehouse are none: they are set
        aside, and what the warehouse shows under their keys is not judged.

    Raises:
        SourceSchemaError: the source's tables break the contract.
        DatabaseError: a database cannot be reached, refuses, or breaks off.
    """
    see_that_it_holds(deviations_of(leader.catalogue))
    found: dict[str, TableDifferences] = {}
    with follower_of(leader) as follower, follower.joined(tables_read(leader.catalogue)):
        sides = _Sides(leader, follower, warehouse, schema)
        for name, star in TABLES.items():
            found[name] = _differences(sides, star)
            progress("compare", name, found[name].rows)
    return found


def _differences(sides: _Sides, star: Table) -> TableDifferences:
    if star is dim_date:
        return _calendar_differences(sides)
    if capture_of(SOURCE_TABLES[driving_table(star.name)]) is Capture.CHANGES:
        return _event_differences(sides, star)
    return _reference_differences(sides, star)


def _calendar_differences(sides: _Sides) -> TableDifferences:
    """Compare the calendar with the whole years from the first to the last day that it or a fact names."""
    findings = Findings(dim_date, authority="calendar")
    named = [
        sql.SQL("select min({0}), max({0}) from {1}").format(
            sql.Identifier(column), sql.Identifier(sides.schema, table.name)
        )
        for table, column in days_named()
    ]
    ((first, last),) = sides.warehouse.execute(
        sql.SQL(
            "select extract(year from min(min))::integer, extract(year from max(max))::integer from ({}) as named "
            "where min between '0001-01-01' and '9999-12-31' and max between '0001-01-01' and '9999-12-31'"
        ).format(sql.SQL(" union all ").join(named))
    ).fetchall()
    rows = 0
    for start in [] if first is None else range(first, last + 1, _YEARS_AT_ONCE):
        ends = date(start, 1, 1), date(min(start + _YEARS_AT_ONCE - 1, last), 12, 31)
        days = calendar.dim_date(pd.Series(ends, dtype=pd.ArrowDtype(pa.date32())))
        present = sides.shown(dim_date, sql.SQL("date_id between {} and {}").format(*ends))
        findings.compare_rows(to_table(days, star_schema(dim_date.name)), present)
        rows += len(days)
    return findings.differences(rows)


def _reference_differences(sides: _Sides, star: Table) -> TableDifferences:
    """Compare a dimension of reference tables whole."""
    findings = Findings(star)
    inputs = {name: sides.ingested(name) for name in REMODELS[star.name].inputs}
    expected = remodel_rows(star.name, inputs).rows
    findings.compare_rows(expected, sides.shown(star, sql.SQL("true")))
    return findings.differences(expected.num_rows)


def _event_differences(sides: _Sides, star: Table) -> TableDifferences:
    """Compare a star table of an event table by checksums, and row by row where they differ."""
    findings = Findings(star)
    ours = source_rows(sides.leader, star)
    theirs = warehouse_rows(sides.warehouse, sides.schema, star)
    source, warehouse = _at_once(ours, theirs)
    ranges = source.keys() | warehouse.keys()
    differing = sorted(number for number in ranges if source.get(number) != warehouse.get(number))
    if not is_fact(star):
        # Members stay when their source rows are gone, so a range that has only such members is as it should be.
        differing = [number for number in differing if number in source]
    suspects: list[int] = []
    for number in differing:
        present, shown_now = ours.row_hashes(number), theirs.row_hashes(number)
        suspects += {key for key, _ in present - shown_now}
        if is_fact(star):
            findings.add_extra({key for key, _ in shown_now} - {key for key, _ in present})
        if len(suspects) >= ROWS_AT_ONCE:
            _look_closer(sides, star, suspects, findings)
            suspects = []
    if suspects:
        _look_closer(sides, star, suspects, findings)
    unaccounted: list[str] = []
    if is_fact(star):
        doubled, unaccounted = repeated_versions(sides.warehouse, sides.schema, star)
        findings.add_doubled(doubled)
    return findings.differences(
        sum(checksum.rows for checksum in source.values()),
        ranges=len(ranges),
        ranges_descended=len(differing),
        unaccounted=unaccounted,
    )


def _at_once(ours: HashedRows, theirs: HashedRows) -> tuple[dict[int, RangeChecksum], dict[int, RangeChecksum]]:
    """The checksums of both sides, for which two servers work at the same time."""
    with ThreadPoolExecutor(1) as pool:
        warehouse = pool.submit(theirs.range_checksums)
        source = ours.range_checksums()
        return source, warehouse.result()


def _look_closer(sides: _Sides, star: Table, keys: list[int], findings: Findings) -> None:
    """Compare rows by value, without those that are set aside, of which checksums know nothing."""
    expected = remodel_rows(star.name, {(name := driving_table(star.name)): sides.ingested(name, keys)}).rows
    condition = sql.SQL("{} = any ({}::integer[])").format(sql.Identifier(natural_key_of(star)), sql.Literal(keys))
    findings.compare_rows(expected, sides.shown(star, condition))
