"""The steps of a load, each for any star table: set-based SQL on what is staged.

Which steps a batch needs is decided in `load.py`; how rows get into staging tables is in `staging.py`.
"""

import logging
from collections.abc import Collection

import pyarrow as pa
from psycopg import sql
from sqlalchemy import Table

from totes_dagster.lake.key_ranges import RANGE_BITS
from totes_dagster.lake.manifest import Manifest
from totes_dagster.postgres.database import NamedConnection
from totes_dagster.schema.bookkeeping import commit_time, load_history, quarantine
from totes_dagster.schema.registry import FACTS
from totes_dagster.schema.star import (
    current_view_of,
    natural_key_of,
    record_id_of,
    remodelled_columns,
)
from totes_dagster.warehouse.queries import newest_first, repeats_of
from totes_dagster.warehouse.references import ReferringTransaction
from totes_dagster.warehouse.staging import LOGGED_CHANGES, live_keys_of, names_of, staging_of

logger = logging.getLogger(__name__)


class LoadTransaction(ReferringTransaction):
    """The steps of a load.

    Attributes:
        uncounted: the facts from which rows were removed, so that their totals are to be counted.
    """

    def __init__(self, connection: NamedConnection, schema: str) -> None:
        super().__init__(connection, schema)
        self.uncounted: set[str] = set()

    def add_to_history(self, manifest: Manifest, digest: str, counts: str, totals: str) -> None:
        """Add a batch to `load_history`.

        Args:
            manifest: the batch's manifest.
            digest: the manifest's digest.
            counts: what the load did, by star table, as JSON.
            totals: what the star tables have now, as JSON.
        """
        self.execute(
            sql.SQL(
                "insert into {} (batch, snapshot_at, manifest_sha256, tables, totals) values ({}, {}, {}, {}, {})"
            ).format(
                self.name_of(load_history),
                *map(sql.Literal, (manifest.batch, manifest.snapshot.taken_at.isoformat(), digest, counts, totals)),
            )
        )

    def forget_totals(self) -> None:
        """Let the next load count what the star tables have, for somebody else has changed them."""
        self.execute(
            sql.SQL("update {0} set totals = null where batch = (select max(batch) from {0})").format(
                self.name_of(load_history)
            )
        )

    def quarantined_keys(self, source: str) -> set[int]:
        """The keys of a source table's rows that are in quarantine."""
        (keys,) = self.fetch(
            sql.SQL(
                "select coalesce(array_agg(source_key) filter (where source_key is not null), '{{}}') from {} "
                "where source_table = {}"
            ).format(self.name_of(quarantine), sql.Literal(source))
        )
        return set(keys)

    def remove_from_quarantine(self, source: str, keys: set[int] | None) -> None:
        """Remove rows with these keys from the quarantine; without keys, all rows of the source table."""
        where = sql.SQL("source_table = {}").format(sql.Literal(source))
        if keys is not None:
            where += sql.SQL(" and source_key = any ({}::integer[])").format(sql.Literal(sorted(keys)))
        self.execute(sql.SQL("delete from {} where {}").format(self.name_of(quarantine), where))

    def add_to_quarantine(self, rows: pa.Table) -> None:
        """Add rows to the table `quarantine`, all of whose columns they have."""
        if rows.num_rows:
            self.ingest(quarantine.name, rows, temporary=False)

    def merge_dimension(self, dimension: Table) -> tuple[int, int]:
        """Upsert the staged rows, without touching rows that are equal; return how many are new, and changed."""
        key = natural_key_of(dimension)
        columns = [column.name for column in dimension.columns]
        values = [name for name in columns if name != key]
        new, changed = self.fetch(
            sql.SQL(
                """
                with merged as (
                    insert into {table} as target ({columns})
                    select {columns} from {staging}
                    on conflict ({key}) do update set ({values}) = row({excluded})
                    where ({target}) is distinct from ({excluded})
                    returning xmax = 0 as is_new)
                select count(*) filter (where is_new), count(*) filter (where not is_new) from merged
                """
            ).format(
                table=self.name_of(dimension),
                columns=names_of(columns),
                staging=staging_of(dimension),
                key=sql.Identifier(key),
                values=names_of(values),
                excluded=names_of(values, of="excluded"),
                target=names_of(values, of="target"),
            )
        )
        return new, changed

    def append_versions(self, fact: Table, batch: int) -> tuple[int, int]:
        """Append staged rows that differ from the newest version; return how many keys are new, and changed."""
        key = natural_key_of(fact)
        self.remove_unloaded_versions(
            fact,
            batch,
            sql.SQL("{key} in (select {key} from {staging})").format(key=sql.Identifier(key), staging=staging_of(fact)),
        )
        columns = [column.name for column in remodelled_columns(fact)]
        new, changed = self.fetch(
            sql.SQL(
                """
                with differing as materialized (
                    select {staged}, newest.{key} is null as is_new
                    from {staging} as staged left join lateral (
                        select * from {table} as version where version.{key} = staged.{key}
                        order by {newest_first} limit 1) as newest on true
                    where newest.{key} is null or newest.is_deleted or ({newest}) is distinct from ({staged})),
                appended as (
                    insert into {table} ({columns}, batch)
                    select {columns}, {batch} from differing order by {key})
                select count(*) filter (where is_new), count(*) filter (where not is_new) from differing
                """
            ).format(
                table=self.name_of(fact),
                staging=staging_of(fact),
                key=sql.Identifier(key),
                newest_first=newest_first(fact),
                columns=names_of(columns),
                staged=names_of(columns, of="staged"),
                newest=names_of(columns, of="newest"),
                batch=sql.Literal(batch),
            )
        )
        return new, changed

    def append_deletions(self, fact: Table, batch: int, ranges: Collection[int] | None = None) -> int:
        """Append a deleted version for every live row whose key the source no longer has; return how many.

        Args:
            fact: the fact, whose live keys are listed.
            batch: the batch.
            ranges: the ranges of keys that the list covers, by number; None if it covers all keys.
        """
        key = sql.Identifier(natural_key_of(fact))
        gone = sql.SQL("not exists (select from {live} as live where live.{key} = version.{key})").format(
            live=live_keys_of(fact), key=key
        )
        shown: sql.Composable = sql.Identifier(self.schema, current_view_of(fact))
        if ranges is None:
            self.remove_unloaded_versions(fact, batch, gone)
        else:
            # Range by range, by the index of the newest versions. A join with the current view scans the whole fact.
            covered, is_covered = _covered_by(ranges), sql.SQL("{} between first and last").format(key)
            self.remove_unloaded_versions(fact, batch, sql.SQL(" and ").join([is_covered, gone]), using=covered)
            shown = sql.SQL(
                "(select newest.* from {covered} cross join lateral (select distinct on ({key}) * from {table} "
                "where {is_covered} order by {key}, {newest_first}) as newest where not is_deleted)"
            ).format(
                covered=covered,
                key=key,
                table=self.name_of(fact),
                is_covered=is_covered,
                newest_first=newest_first(fact),
            )
        return self._append_deleted(fact, batch, sql.SQL("{} as version where {}").format(shown, gone))

    def append_logged_deletions(self, fact: Table, batch: int) -> int:
        """Append a deleted version for every live row that the log says was deleted; return how many.

        Args:
            fact: the fact, whose changes are listed.
            batch: the batch.
        """
        key = sql.Identifier(natural_key_of(fact))
        deleted = sql.SQL("(select key from {} where is_deleted) as logged").format(LOGGED_CHANGES)
        is_deleted = sql.SQL("version.{} = logged.key").format(key)
        self.remove_unloaded_versions(fact, batch, is_deleted, using=deleted)
        shown = sql.SQL(
            "{deleted} cross join lateral (select * from {table} as version where {is_deleted} "
            "order by {newest_first} limit 1) as version where not is_deleted"
        ).format(deleted=deleted, table=self.name_of(fact), is_deleted=is_deleted, newest_first=newest_first(fact))
        return self._append_deleted(fact, batch, shown)

    def add_commit_times(self, fact: Table, batch: int) -> None:
        """Note when the versions were committed that a batch from the log has brought.

        Times of this batch or a later one, which are not loaded yet, go as their versions do.

        Args:
            fact: the fact, whose changes are listed, and whose versions are appended.
            batch: the batch.
        """
        self.execute(
            sql.SQL("delete from {} where fact = {} and batch >= {}").format(
                self.name_of(commit_time), sql.Literal(fact.name), sql.Literal(batch)
            )
        )
        self.execute(
            sql.SQL(
                """
                insert into {times} (fact, batch, key, committed_at)
                select {name}, {batch}, key, committed_at from {logged} as logged
                where exists (select from {table} as version where version.{key} = logged.key and batch = {batch})
                """
            ).format(
                times=self.name_of(commit_time),
                name=sql.Literal(fact.name),
                batch=sql.Literal(batch),
                logged=LOGGED_CHANGES,
                table=self.name_of(fact),
                key=sql.Identifier(natural_key_of(fact)),
            )
        )

    def _append_deleted(self, fact: Table, batch: int, versions: sql.Composable) -> int:
        columns = names_of([column.name for column in remodelled_columns(fact)], of="version")
        key = sql.Identifier("version", natural_key_of(fact))
        return self.execute(
            sql.SQL(
                "insert into {table} ({columns}, is_deleted, batch) select {values}, true, {batch} from {versions} "
                "order by {key}"
            ).format(
                table=self.name_of(fact),
                columns=names_of([column.name for column in remodelled_columns(fact)]),
                values=columns,
                batch=sql.Literal(batch),
                versions=versions,
                key=key,
            )
        )

    def remove_repeated_versions(self, fact: Table, keys: Collection[int]) -> int:
        """Remove versions of these keys that repeat another, as defined by `repeats_of`; return how many."""
        return self.execute(
            sql.SQL("delete from {table} where {record_id} in (select {record_id} from ({repeats}) as repeats)").format(
                table=self.name_of(fact),
                record_id=sql.Identifier(record_id_of(fact)),
                repeats=repeats_of(
                    fact,
                    self.name_of(fact),
                    sql.SQL("{} = any ({}::integer[])").format(
                        sql.Identifier(natural_key_of(fact)), sql.Literal(list(keys))
                    ),
                ),
            )
        )

    def clear(self) -> None:
        """Remove everything that loads have brought, except members of dimensions, which the same batches update.

        Readers see it until this transaction is committed. Rows that were adopted with the warehouse stay.
        """
        for fact in FACTS.values():
            self.execute(sql.SQL("delete from {} where batch <> 0").format(self.name_of(fact)))
        for table in (quarantine, commit_time, load_history):
            self.execute(sql.SQL("delete from {}").format(self.name_of(table)))
        self.not_empty.clear()

    def remove_unloaded_versions(
        self, fact: Table, batch: int, condition: sql.Composable, *, using: sql.Composable | None = None
    ) -> None:
        """Remove versions with the number of this batch, which is not loaded yet, or of a later one.

        They would outrank what the batch brings. Another program wrote them, or the fact was restored to a later state
        than `load_history`, in which case the batches bring them again.
        """
        removed = self.execute(
            sql.SQL("delete from {} as version{} where batch >= {} and {}").format(
                self.name_of(fact),
                sql.SQL("") if using is None else sql.SQL(" using {}").format(using),
                sql.Literal(batch),
                condition,
            )
        )
        if removed:
            self.uncounted.add(fact.name)
            logger.warning("Removed %d versions of %s that belong to batches not loaded yet.", removed, fact.name)


def _covered_by(ranges: Collection[int]) -> sql.Composed:
    """SQL for the first and the last key of each of these ranges."""
    return sql.SQL(
        "(select number << {bits} as first, (number << {bits}) + {others} as last "
        "from unnest({ranges}::integer[]) as number) as covered"
    ).format(bits=sql.Literal(RANGE_BITS), others=sql.Literal(2**RANGE_BITS - 1), ranges=sql.Literal(list(ranges)))
