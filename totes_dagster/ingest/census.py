"""Taking the census of the source's tables: one scan of each, which shows whether and how it has changed.

Checksums are sums of 64-bit hashes: every supported version of PostgreSQL can compute them, and equal rows do not
cancel each other out.
"""

import psycopg
from psycopg import sql

from totes_dagster.ingest.capture import CHECKSUM_MODULUS
from totes_dagster.ingest.catalogue import qualified
from totes_dagster.ingest.contract import has_unique_keys
from totes_dagster.lake.manifest import Census
from totes_dagster.lake.source_catalogue import Catalogue
from totes_dagster.schema.totesys import SOURCE_TABLES, key_of


def census_statement(catalogue: Catalogue, tables: list[str]) -> sql.Composed:
    """SQL that returns one row per table, for `censuses` to read."""
    return sql.SQL(" union all ").join(
        sql.SQL(
            "select {name}, {regclass}::regclass::oid::bigint, count(*), {keys}, {versions}, {keyed} from {table}"
        ).format(
            name=sql.Literal(name),
            regclass=sql.Literal(qualified(catalogue, name).as_string(None)),
            table=qualified(catalogue, name),
            **_aggregates(catalogue, name),
        )
        for name in tables
    )


def censuses(catalogue: Catalogue, rows: list[tuple[str, int, int, int, int, bool]]) -> dict[str, Census]:
    """The censuses in the rows of `census_statement`, by table."""
    return {
        name: Census(
            table_oid=oid,
            columns=catalogue.tables[name].digest,
            rows=count,
            keys=keys,
            versions=versions,
            keyed=keyed,
        )
        for name, oid, count, keys, versions, keyed in rows
    }


def checksum_of_newest_keys(connection: psycopg.Connection, catalogue: Catalogue, table: str, count: int) -> int:
    """Checksum of the `count` highest keys of a declared table, as in `Census.keys`; 0 if `count` is not positive."""
    key = sql.Identifier(key_of(SOURCE_TABLES[table]))
    statement = sql.SQL("select {} from (select {} from {} order by {} desc limit {}) as newest").format(
        _sum_of(sql.SQL("hashint8extended({}, 0)").format(key)),
        key,
        qualified(catalogue, table),
        key,
        sql.Literal(max(count, 0)),
    )
    ((checksum,),) = connection.execute(statement).fetchall()
    return int(checksum)


def _aggregates(catalogue: Catalogue, table: str) -> dict[str, sql.Composable]:
    """Aggregates over a table: checksums of keys and of row versions, and whether every row has a unique key."""
    if table in SOURCE_TABLES and has_unique_keys(catalogue, table):
        key = sql.Identifier(key_of(SOURCE_TABLES[table]))
        return {
            "keys": _sum_of(sql.SQL("hashint8extended({}, 0)").format(key)),
            "versions": _sum_of(sql.SQL("hashint8extended({}, xmin::text::bigint)").format(key)),
            "keyed": sql.SQL("coalesce(min({0}) >= -2147483648 and max({0}) <= 2147483647, true)").format(key),
        }
    # Rows without unique keys are identified by their position. (PostgreSQL 13 cannot hash a ctid.)
    position = sql.SQL("hashtextextended(ctid::text, tableoid::bigint)")
    return {
        "keys": _sum_of(position),
        "versions": _sum_of(sql.SQL("hashint8extended({}, xmin::text::bigint)").format(position)),
        "keyed": sql.Literal(table not in SOURCE_TABLES),
    }


def _sum_of(hashes: sql.Composable) -> sql.Composed:
    return sql.SQL("mod(coalesce(sum({}), 0), {})::bigint").format(hashes, sql.Literal(CHECKSUM_MODULUS))
