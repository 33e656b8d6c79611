"""What the source said at each batch, written down by the test itself, and what a warehouse that loaded it must hold.

Derived by plain SQL over the source, as in `oracle.py`, and by replaying it version by version. What happens to the
source, and when, is up to the tests.
"""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime

import psycopg

from totes_dagster.lake.batch_log import BatchLog
from totes_dagster.lake.manifest import Manifest
from totes_dagster.schema.totesys import SOURCE_TABLES
from totes_dagster_tests import oracle
from totes_dagster_tests.world import World

SOURCES = {"fact_sales_order": "sales_order", "fact_purchase_order": "purchase_order", "fact_payment": "payment"}

_DAYS = {
    "sales_order": ("agreed_delivery_date", "agreed_payment_date"),
    "purchase_order": ("agreed_delivery_date", "agreed_payment_date"),
    "payment": ("payment_date",),
}

SOUND = {
    table: " and ".join(
        [f"{day} ~ '^\\d\\d\\d\\d-\\d\\d-\\d\\d$' and pg_input_is_valid({day}, 'date')" for day in days]
        + [f"{stamp} between '0001-01-01' and '9999-12-31 23:59:59.999'" for stamp in ("created_at", "last_updated")]
    )
    for table, days in _DAYS.items()
}
"""By table of the source, the condition on which its rows can become rows of the warehouse."""


@dataclass(frozen=True)
class SourceState:
    """What the source said.

    Attributes:
        moment: a moment at which it was so, by the source's clock.
        rows: of each fact, by key: the rows that it must show.
        aside: of each source table with rows that cannot become such, their keys.
        members: of each dimension, the members that the source has.
    """

    moment: datetime
    rows: dict[str, dict[int, oracle.Row]]
    aside: dict[str, set[int]]
    members: dict[str, set[oracle.Row]]


class Chronicle:
    """The states of a source, in the order in which they came.

    Args:
        source_url: the source. If it holds rows that cannot become rows of the warehouse, its tables must be in another
            schema than `public`, and views without these rows in that, for `oracle.py` looks there.
    """

    def __init__(self, source_url: str) -> None:
        self._source_url = source_url
        self._states: list[SourceState] = []
        self.note()

    def note(self) -> None:
        """Write down what the source says now; to be called after each change, and before any ingest that sees it."""
        aside = {}
        with psycopg.connect(self._source_url) as connection:
            for table, sound in SOUND.items():
                unsound = f"select {table}_id from {table} where not ({sound})"
                aside[table] = {key for (key,) in connection.execute(unsound)}
            ((moment,),) = connection.execute("select clock_timestamp()").fetchall()
        rows, members = oracle.current_rows(self._source_url), oracle.members(self._source_url)
        self._states.append(SourceState(moment, rows, aside, members))

    @property
    def newest(self) -> SourceState:
        """What the source says now."""
        return self._states[-1]

    def state_in(self, manifest: Manifest) -> SourceState:
        """What the source said when a batch was taken: in a snapshot, or from the log just after a transaction."""
        taken_at = manifest.snapshot.taken_at
        if manifest.counted is not None:
            return next((state for state in self._states if state.moment >= taken_at), self._states[-1])
        before = (state for state in reversed(self._states) if state.moment <= taken_at)
        return next(before, self._states[0])


@dataclass
class ExpectedWarehouse:
    """What a warehouse must hold, batch by batch.

    Attributes:
        batch: the newest batch that it has loaded.
        versions: of each fact, as in `oracle.history`.
        state: what the source said at that batch.
    """

    batch: int = 0
    versions: dict[str, oracle.Versions] = field(default_factory=lambda: {fact: {} for fact in SOURCES})
    state: SourceState | None = None

    def load_up_to(self, batch: int, log: BatchLog, chronicle: Chronicle) -> None:
        """Take over further batches."""
        while self.batch < batch:
            manifest = log.manifest(self.batch + 1)
            self._load(chronicle.state_in(manifest), manifest)

    def copy(self) -> "ExpectedWarehouse":
        """Another one like it."""
        return deepcopy(self)

    def wrongs(self, world: World) -> Iterator[str]:
        """Where a warehouse that has loaded the same batches is not like this, one line each."""
        if self.state is None:
            return
        found = oracle.history(world.warehouse_url, world.platform.warehouse.schema)
        for fact, versions in self.versions.items():
            for key in sorted(versions.keys() | found[fact].keys()):
                expected, actual = versions.get(key, []), found[fact].get(key, [])
                if expected != actual:
                    yield f"{fact} has of {key} the versions {actual}, not {expected}."
            live = {rows[-1][:-2] for rows in versions.values() if not rows[-1][-2]}
            view = oracle.FACTS[fact].view
            shown = world.ask(f"select {', '.join(column.name for column in oracle.FACTS[fact].columns)} from {view}")
            if len(shown) != len(live) or set(shown) != live:
                yield f"{view} does not show the newest versions."
        shown_members = oracle.dimension_rows(world.warehouse_url, world.platform.warehouse.schema)
        for dimension, members in self.state.members.items():
            lacking = members - set(shown_members[dimension])
            if lacking:
                yield f"{dimension} lacks {sorted(lacking, key=lambda row: row[0])[:3]}."
        aside = sorted((table, key) for table, keys in self.state.aside.items() for key in keys)
        if world.quarantined() != aside:
            yield f"The quarantine lists {world.quarantined()}, not {aside}."

    def _load(self, state: SourceState, manifest: Manifest) -> None:
        if not any(manifest.brings(table) for table in SOURCE_TABLES):
            state = self.state or state  # one from the log has then no moment of its own
        before, self.state = self.state, state
        self.batch += 1
        for fact, rows in state.rows.items():
            if not manifest.brings(SOURCES[fact]):
                assert before is None or rows == before.rows[fact]
                continue
            versions = self.versions[fact]
            for key, row in rows.items():
                known = versions.setdefault(key, [])
                if not known or known[-1][:-1] != (*row, False):
                    known.append((*row, False, self.batch))
            for key, known in versions.items():
                # What cannot become a row of the warehouse is not gone: its last sound version stays.
                if key not in rows and key not in state.aside[SOURCES[fact]] and not known[-1][-2]:
                    known.append((*known[-1][:-2], True, self.batch))


class History:
    """What a company's source said at each batch, for whoever must remember it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.chronicle = Chronicle(world.source_url)

    def change(self, *statements: str) -> None:
        self.world.change(*statements)
        self.chronicle.note()

    def wrongs(self, world: World) -> list[str]:
        """Where a warehouse that loaded all batches does not remember what there was, or show what there is."""
        expected = ExpectedWarehouse()
        log = BatchLog(world.platform.lake.ingestion)
        expected.load_up_to(log.head(), log, self.chronicle)
        return [*expected.wrongs(world), *world.wrongs()]
