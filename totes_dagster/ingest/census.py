"""Taking the census of the source's tables: one scan of each, which shows whether and how it has changed.

Checksums are sums of 64-bit hashes: every supported version of PostgreSQL can compute them, and equal rows do not
cancel each other out.
"""

import psycopg
from psycopg import sql

from totes_dagster.ingest.catalogue import qualified
from totes_dagster.ingest.contract import has_unique_keys
from totes_dagster.lake.key_ranges import CHECKSUM_MODULUS, RANGE_BITS, RangeCount, range_count
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


def key_ranges(
    connection: psycopg.Connection, catalogue: Catalogue, table: str, *, highest: int | None = None
) -> dict[int, RangeCount]:
    """Count the keys of a declared table with unique keys by ranges, with checksums as in `Census.keys`.

    This takes another scan of the table, of its keys alone. With the census in one, each look at the source would take
    longer: grouping costs about as much as hashing the keys, and PostgreSQL does not group in parallel here.

    Args:
        connection: in the snapshot.
        catalogue: the source's catalogue.
        table: the table.
        highest: count only this many of the highest keys, which an index finds; all keys by default.
    """
    if highest is not None and highest <= 0:
        return {}
    key = sql.Identifier(key_of(SOURCE_TABLES[table]))
    # Without "offset 0" the planner expects as many ranges as keys, and plans to sort or spill them all.
    those = (
        sql.SQL("offset 0")
        if highest is None
        else sql.SQL("order by {} desc limit {}").format(key, sql.Literal(highest))
    )
    statement = sql.SQL(
        "select range, count(*), {checksum} "
        "from (select {key} >> {bits} as range, {hash} as hash from {table} {those}) as keys group by range"
    ).format(
        checksum=_sum_of(sql.Identifier("hash")),
        key=key,
        bits=sql.Literal(RANGE_BITS),
        hash=_key_hash(key),
        table=qualified(catalogue, table),
        those=those,
    )
    return {number: range_count(keys, checksum) for number, keys, checksum in connection.execute(statement)}


def _aggregates(catalogue: Catalogue, table: str) -> dict[str, sql.Composable]:
    """Aggregates over a table: checksums of keys and of row versions, and whether every row has a unique key."""
    if table in SOURCE_TABLES and has_unique_keys(catalogue, table):
        key = sql.Identifier(key_of(SOURCE_TABLES[table]))
        return {
            "keys": _sum_of(_key_hash(key)),
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


def _key_hash(key: sql.Identifier) -> sql.Composed:
    return sql.SQL("hashint8extended({}, 0)").format(key)


def _sum_of(hashes: sql.Composable) -> sql.Composed:
    return sql.SQL("mod(coalesce(sum({}), 0), {})::bigint").format(hashes, sql.Literal(CHECKSUM_MODULUS))
