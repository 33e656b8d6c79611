"""A company whose every refresh is judged: by the values that the warehouse shows, its quarantine, and its accounts."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from totes_dagster.lake.batch_log import BatchLog
from totes_dagster.lake.manifest import Manifest
from totes_dagster.pipeline import Refreshed
from totes_dagster.schema.registry import driving_table_of
from totes_dagster_tests.system.end_to_end.judge import Expectation, disagreements
from totes_dagster_tests.world import World


@dataclass(frozen=True)
class Witness:
    """A world, and what its warehouse must hold."""

    world: World
    expected: Expectation = field(default_factory=Expectation)

    def change(self, *statements: str) -> None:
        """Change the source, in one transaction."""
        self.world.change(*statements)

    def refresh(self, *, recapture: Collection[str] = ()) -> Refreshed:
        """Refresh; nothing may be wrong afterwards."""
        refreshed = self.world.refresh(recapture=recapture)
        self.testify()
        return refreshed

    def batch(self) -> Manifest:
        """Refresh; the batch that it committed, which there must be."""
        manifest = self.refresh().ingested.batch
        assert manifest is not None
        return manifest

    def kept(self, manifest: Manifest, table: str) -> list[dict[str, Any]]:
        """The rows of a source table that a batch brought to the lake."""
        parts = manifest.tables[table].parts if manifest.brings(table) else ()
        return [row for part in parts for row in self.world.platform.lake.ingestion.read_part(part.path).to_pylist()]

    def testify(self) -> None:
        """See that the warehouse is what it must be, now that it was refreshed."""
        self.expected.see(self.world.source_url)
        assert disagreements(self.expected, self.world.warehouse_url) == []
        assert list(self.unaccounted()) == []
        assert list(self.unfounded()) == []

    def listed(self) -> dict[tuple[str, int | None], str]:
        """The list of quarantined rows: the reason by table and key."""
        rows = self.world.ask("select source_table, source_key, reason from quarantine")
        return {(table, key): reason for table, key, reason in rows}

    def unaccounted(self) -> Iterator[str]:
        """Batches whose rows do not add up by their own accounts, or are not what the manifest says."""
        log = BatchLog(self.world.platform.lake.ingestion)
        for batch, tables in self.world.ask("select batch, tables from load_history"):
            manifest = log.manifest(batch)
            for star, counts in tables.items():
                source = driving_table_of(star)
                if source is None:  # the calendar
                    continue
                if counts["ingested"] != counts["staged"] + counts["quarantined"]:
                    yield f"{star} in batch {batch}: {counts}"
                if manifest.brings(source) and counts["ingested"] != manifest.tables[source].rows:
                    yield f"{star} in batch {batch}: {counts}, of {manifest.tables[source].rows} rows"

    def unfounded(self) -> Iterator[str]:
        """Rows of the list that are not in the object that it names, with the same reason."""
        processed = self.world.platform.lake.processed
        listed = self.world.ask("select source_table, source_key, reason, batch, part from quarantine")
        for table, key, reason, batch, part in listed:
            rows = processed.read_part(part, columns=[f"{table}_id", "reason"]).to_pylist()
            if (key, reason) not in [(row[f"{table}_id"], row["reason"]) for row in rows]:
                yield f"{table} {key} is not in {part}."
            if not re.match(rf"quarantine/{table}/v\d+/batch={batch:010}/", part):
                yield f"{table} {key} of batch {batch} is in {part}."
