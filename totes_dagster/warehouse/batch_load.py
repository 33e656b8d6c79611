"""The load of batches: what is done with each star table, by the steps of `load_transaction.py`."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import partial
from time import perf_counter
from typing import cast

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Table

from totes_dagster.lake.manifest import Manifest
from totes_dagster.lake.processed import star_parts
from totes_dagster.lake.zone import Lake
from totes_dagster.runtime.ahead import ahead
from totes_dagster.runtime.progress import Progress, silent
from totes_dagster.schema.registry import CALENDAR, DIMENSIONS, FACTS, STAR_TABLES, driving_table_of, inputs_of
from totes_dagster.schema.star import is_fact
from totes_dagster.schema.totesys import Capture
from totes_dagster.warehouse.batch_rows import Account, keys_leaving_quarantine, live_keys, live_ranges, logged_changes
from totes_dagster.warehouse.foreign_keys import add_foreign_keys_if_valid, has_foreign_keys
from totes_dagster.warehouse.load_transaction import LoadTransaction
from totes_dagster.warehouse.loaded import LoadedBatch, LoadedTable
from totes_dagster.warehouse.parts import PartRows, Parts, read_quarantine
from totes_dagster.warehouse.rates import keep_rates
from totes_dagster.warehouse.shared_staging import SharedStaging, Sharing
from totes_dagster.warehouse.totals import Total, as_json, counted_totals, kept_totals


def load_in_order(
    transaction: LoadTransaction,
    batches: Iterable[tuple[Manifest, str]],
    lake: Lake,
    progress: Progress = silent,
    *,
    alone: bool = False,
    sharing: Sharing | None = None,
) -> Iterator[LoadedBatch]:
    """Load batches, each while the next part is read or computed.

    The caller makes sure that the first batch follows the newest loaded one, restores what was set aside, and commits.

    Args:
        transaction: holds the load lock.
        batches: manifests of consecutive batches, and their digests.
        lake: both zones.
        progress: called with the number of rows as they are computed, and as they are staged.
        alone: whether there is one batch, after which foreign keys can be added.
        sharing: shares the staging of large batches with workers; None if nobody does.

    Raises:
        RowsUnaccountedError, RowsRepeatedError, PartError, psycopg.Error: see `load.load_batches`.
    """
    parts = Parts(lake, progress)

    def coming() -> Iterator[_Coming | PartRows]:
        for manifest, digest in batches:
            shared = sharing.stage(manifest) if sharing else None
            yield _Coming(manifest, digest, shared)
            for star in _ORDER:
                if shared is None or not shared.has(star):
                    spans = shared.spans if shared and star is CALENDAR else None
                    for part in star_parts(star.name, manifest):
                        yield parts.take(part, spans)

    if sharing:
        sharing.prepare(transaction)
    with closing(ahead(coming())) as taken:
        for coming_next in taken:
            batch = cast("_Coming", coming_next)
            contents = cast("Iterator[PartRows]", taken)
            loaded = _BatchLoad(transaction, batch, lake, progress, contents, alone=alone).run()
            written = parts.written.pop(loaded.batch, {}) | (batch.shared.written if batch.shared else {})
            yield replace(loaded, remodelled=written)


_ORDER = [*(table for table in DIMENSIONS.values() if table is not CALENDAR), *FACTS.values(), CALENDAR]
"""The star tables in the order in which their parts are taken. The calendar has the days in those of the facts."""


@dataclass(frozen=True)
class _Coming:
    """The batch whose parts come next, but for those that workers have staged."""

    manifest: Manifest
    digest: str
    shared: SharedStaging | None


class _BatchLoad:
    """The load of one batch."""

    def __init__(
        self,
        transaction: LoadTransaction,
        batch: _Coming,
        lake: Lake,
        progress: Progress,
        contents: Iterator[PartRows],
        *,
        alone: bool,
    ) -> None:
        self._transaction = transaction
        self._manifest, self._digest, self._shared = batch.manifest, batch.digest, batch.shared
        self._lake = lake
        self._progress = progress
        self._contents = contents
        self._alone = alone
        self._done: dict[str, LoadedTable] = {name: LoadedTable() for name in STAR_TABLES}
        self._seconds = dict.fromkeys(STAR_TABLES, 0.0)
        self._newest_stamps: dict[str, datetime | None] = {}

    def run(self) -> LoadedBatch:
        """Load all star tables, and add the batch to `load_history`."""
        before = self._totals_before()
        # An adopted fact may have had no foreign keys.
        days = self._transaction.named_days() if self._manifest.batch == 1 else []
        facts = [fact for fact in FACTS.values() if self._source_of(fact)]
        empty = [fact for fact in facts if self._transaction.is_empty(fact)]
        # Before the members that they refer to are known to exist.
        copied = [fact for fact in empty if not has_foreign_keys(self._transaction, fact)]
        for star in _ORDER:
            if star is CALENDAR:
                self._timed(star, partial(self._load_calendar, days))
            elif star in copied:
                self._timed(star, self._copy_fact)
            elif star in facts:
                self._timed(star, self._stage_fact)
            elif not is_fact(star):
                self._timed(star, self._load_dimension)
        for fact in facts:
            self._timed(fact, self._refer if fact in copied else self._append)
            self._timed(fact, self._take_log)
        if any(self._done[star.name].has_changes for star in (CALENDAR, DIMENSIONS["dim_currency"])):
            keep_rates(self._transaction)
        counts = {star: done.counts() for star, done in self._done.items() if done != LoadedTable()}
        if self._shared:
            self._shared.drop(self._transaction)
        totals = as_json(self._totals(before))
        self._transaction.add_to_history(self._manifest, self._digest, json.dumps(counts), totals)
        return LoadedBatch(
            self._manifest.batch, self._done, filled=tuple(fact.name for fact in empty), seconds=self._seconds
        )

    def _totals_before(self) -> dict[str, Total]:
        """What the star tables have, where that is known without counting, and loading only adds to it."""
        transaction = self._transaction
        kept = kept_totals(transaction.fetch_all, transaction.schema)
        before = {name: total for name, total in kept.items() if not self._is_whole(STAR_TABLES[name])}
        others = [star for name, star in STAR_TABLES.items() if name not in before]
        return before | {star.name: Total() for star in others if transaction.is_empty(star)}

    def _is_whole(self, star: Table) -> bool:
        """Whether the batch brings all rows of a star table's source, which makes up for what others did to it."""
        source = driving_table_of(star.name)
        if source is None or not self._manifest.brings(source):
            return False
        return self._manifest.tables[source].content is Capture.WHOLE

    def _totals(self, before: Mapping[str, Total]) -> dict[str, Total]:
        """What the star tables have once the batch is loaded: more than before, or counted."""
        transaction, after = self._transaction, {}
        for name, total in before.items():
            done = self._done[name]
            if name not in transaction.uncounted and not (total.placeholders and done.changed):
                after[name] = total.after(STAR_TABLES[name], done, self._newest_stamps.get(name))
        transaction.uncounted.clear()
        uncounted = [name for name in STAR_TABLES if name not in after]
        return {**after, **counted_totals(transaction.fetch_all, transaction.schema, uncounted)}

    def _timed(self, star: Table, load: Callable[[Table], LoadedTable]) -> None:
        """Do something for a star table, and note what it did and how long it took."""
        started = perf_counter()
        self._done[star.name] += load(star)
        self._seconds[star.name] += perf_counter() - started

    def _source_of(self, fact: Table) -> str | None:
        """The source table of a fact, if the batch brings something of it."""
        source = driving_table_of(fact.name)
        return source if source and self._manifest.brings(source) else None

    def _load_calendar(self, named: Sequence[date], _: Table) -> LoadedTable:
        """Extend the calendar to whole years, without gaps, from the earliest to the latest day that is named."""
        days = list(named)
        for rows, _quarantined in self._rows(CALENDAR, Account(CALENDAR.name, self._manifest.batch)):
            days += [day for day in pc.min_max(rows.column("date_id")).as_py().values() if day is not None]
            self._progress("load", CALENDAR.name, rows.num_rows)
        if not days:
            return LoadedTable()
        first, last, count = self._transaction.calendar_extent()
        days += [day for day in (first, last) if day is not None]
        whole_years = (date(max(days).year, 12, 31) - date(min(days).year, 1, 1)).days + 1
        # An adopted calendar may have all days, but with other values.
        if count == whole_years and self._manifest.batch != 1:
            return LoadedTable()
        return merge_calendar(self._transaction, days)

    def _load_dimension(self, dimension: Table) -> LoadedTable:
        transaction, account = self._transaction, self._account(dimension)
        if not star_parts(dimension.name, self._manifest):
            return self._finish(account, LoadedTable(), [])
        if transaction.is_empty(dimension):
            quarantined = self._copy(dimension, account)
            done = LoadedTable(staged=account.staged, new=account.staged)
        else:
            quarantined = self._stage(dimension, account)
            new, changed = transaction.merge_dimension(dimension) if account.staged else (0, 0)
            done = LoadedTable(staged=account.staged, new=new, changed=changed)
        return self._finish(account, done, quarantined)

    def _copy_fact(self, fact: Table) -> LoadedTable:
        account = self._account(fact)
        quarantined = self._copy(fact, account)
        return self._finish(account, LoadedTable(staged=account.staged, new=account.staged), quarantined)

    def _refer(self, fact: Table) -> LoadedTable:
        """Make sure that all members exist that a copied fact refers to."""
        # Adding the foreign keys shows whether one is missing, and mostly none is.
        if not self._alone or not add_foreign_keys_if_valid(self._transaction, fact):
            self._add_placeholders(fact, staged=False)
        return LoadedTable()

    def _stage_fact(self, fact: Table) -> LoadedTable:
        account = self._account(fact)
        quarantined = self._stage(fact, account)
        return self._finish(account, LoadedTable(staged=account.staged), quarantined)

    def _append(self, fact: Table) -> LoadedTable:
        """Append new versions of the rows that differ, once the days and members that they refer to are there."""
        transaction, batch = self._transaction, self._manifest.batch
        entry = self._manifest.tables[inputs_of(fact.name)[0]]
        transaction.put_sequence_past_record_ids(fact)
        self._add_placeholders(fact)
        new, changed = transaction.append_versions(fact, batch)
        if batch == 1:
            # An adopted fact may have had no foreign keys.
            self._add_placeholders(fact, staged=False)
        deleted = 0
        keys = live_keys(self._lake.ingestion, inputs_of(fact.name)[0], entry)
        if keys is not None:
            transaction.list_live_keys(fact, keys)
            deleted = transaction.append_deletions(fact, batch, live_ranges(entry))
        return LoadedTable(new=new, changed=changed, deleted=deleted)

    def _take_log(self, fact: Table) -> LoadedTable:
        """Append the deletions that the source's log tells, and note when its versions were committed."""
        transaction, batch = self._transaction, self._manifest.batch
        entry = self._manifest.tables[inputs_of(fact.name)[0]]
        if not entry.logged:
            return LoadedTable()
        transaction.list_logged_changes(logged_changes(self._lake.ingestion, entry))
        deleted = transaction.append_logged_deletions(fact, batch)
        transaction.add_commit_times(fact, batch)
        return LoadedTable(deleted=deleted)

    def _add_placeholders(self, fact: Table, *, staged: bool = True) -> None:
        for dimension, count in self._transaction.add_placeholders(fact, staged=staged).items():
            self._done[dimension] += LoadedTable(placeholders=count)

    def _account(self, star: Table) -> Account:
        return Account(star.name, self._manifest.batch)

    def _copy(self, star: Table, account: Account) -> list[pa.Table]:
        """Copy the batch's parts straight into an empty star table; return the rows in quarantine."""
        batch = self._manifest.batch if is_fact(star) else None
        quarantined = []
        if self._shared and self._shared.has(star):
            quarantined = self._take_shared(self._shared, star, account)
            self._shared.append(self._transaction, star, batch=batch)
        for rows, quarantined_rows in self._rows(star, account):
            numbered = self._transaction.with_record_ids(star, rows) if is_fact(star) else rows
            account.staged += self._transaction.copy(star, numbered, batch=batch)
            quarantined.append(quarantined_rows)
            self._progress("load", star.name, rows.num_rows)
        if not is_fact(star):
            self._transaction.analyze(star)  # the statistics of facts come after the commit
        return quarantined

    def _stage(self, star: Table, account: Account) -> list[pa.Table]:
        """Copy the batch's parts into the star table's staging table; return the rows in quarantine."""
        if self._shared and self._shared.has(star):
            return self._take_shared(self._shared, star, account)
        self._transaction.create_staging(star)
        quarantined = []
        for rows, quarantined_rows in self._rows(star, account):
            account.staged += self._transaction.stage(star, rows)
            quarantined.append(quarantined_rows)
            self._progress("load", star.name, rows.num_rows)
        self._transaction.analyze_staging(star, account.staged)
        return quarantined

    def _take_shared(self, shared: SharedStaging, star: Table, account: Account) -> list[pa.Table]:
        """Take what workers have staged; return the rows in quarantine."""
        account.staged, account.repeated = shared.open(self._transaction, star)
        quarantined = []
        for part, staged in shared.parts_of(star):
            account.ingested += part.ingested_rows
            account.quarantined += staged.quarantined
            account.see(staged.newest_stamp)
            if staged.quarantined:
                quarantined.append(read_quarantine(part, self._lake.processed))
        return quarantined

    def _rows(self, star: Table, account: Account) -> Iterator[tuple[pa.Table, pa.Table]]:
        """The batch's parts of a star table, whose turn it is: their rows, and those in quarantine."""
        if self._shared and self._shared.has(star):
            return
        for part in star_parts(star.name, self._manifest):
            contents = next(self._contents)
            account.add_part(part, contents)
            yield contents.rows, contents.quarantined

    def _finish(self, account: Account, done: LoadedTable, quarantined: Sequence[pa.Table]) -> LoadedTable:
        """Check that every row is accounted for, and update the warehouse's quarantine."""
        account.check(self._lake.processed)
        self._newest_stamps[account.star] = account.newest_stamp
        source = driving_table_of(account.star)
        if source is not None and (self._manifest.brings(source) or account.ingested):
            self._update_quarantine(source, quarantined)
        return replace(done, ingested=account.ingested, quarantined=account.quarantined)

    def _update_quarantine(self, source: str, quarantined: Sequence[pa.Table]) -> None:
        transaction, entry = self._transaction, self._manifest.tables[source]
        if entry.content is Capture.WHOLE:
            transaction.remove_from_quarantine(source, None)
        elif keys := transaction.quarantined_keys(source):
            leaving = keys_leaving_quarantine(self._lake.ingestion, source, entry, keys)
            transaction.remove_from_quarantine(source, leaving)
        for rows in quarantined:
            transaction.add_to_quarantine(rows)


def restore_calendar(transaction: LoadTransaction) -> None:
    """Undo changes that were made to the calendar by hand, from the first to the last year that it or a fact names."""
    days = transaction.named_days()
    if days:
        merge_calendar(transaction, days)


def merge_calendar(transaction: LoadTransaction, days: Sequence[date]) -> LoadedTable:
    """Upsert the days of all years from the earliest to the latest of these days."""
    from totes_dagster.remodel.computing import calendar_from  # noqa: PLC0415 - days are new once a year

    transaction.create_staging(CALENDAR)
    staged = transaction.stage(CALENDAR, calendar_from(days))
    transaction.analyze_staging(CALENDAR, staged)
    new, changed = transaction.merge_dimension(CALENDAR)
    if new:
        transaction.analyze(CALENDAR)  # whole years came
    return LoadedTable(staged=staged, new=new, changed=changed)
