"""The two zones of the lake as Dagster IO managers."""

from collections.abc import Callable, Iterator
from time import perf_counter

from dagster import ConfigurableIOManager, InputContext, MetadataValue, OutputContext, TableMetadataValue
from pydantic import Field

from totes_dagster.config.platform import lake_zone
from totes_dagster.lake.store import Lake
from totes_dagster.orchestration.failures import clearly
from totes_dagster.orchestration.metadata import preview_of
from totes_dagster.remodel.run import Remodelled, StarPart, Written, write_star
from totes_dagster.runtime.retry import retried
from totes_dagster.schema.warehouse import TABLES, is_personal, remodelled_columns


class Zone(ConfigurableIOManager):
    """One zone of the lake, in a bucket or a folder.

    Assets stored in the zone hand over how to compute the parts that are missing; these are computed and written one at
    a time, each with a conditional create, and what is missing then is computed again where writing failed for a
    moment. An asset that takes one of them as an input gets the zone itself, to read from part by part, and no rows.
    """

    zone: str = Field(description="`ingestion` or `processed`.")
    url: str = Field(default="", description="s3://bucket[/prefix] or file:///folder; empty for the embedded stack.")

    @property
    def lake(self) -> Lake:
        """The bucket or folder."""
        return lake_zone(self.zone, self.url)

    def load_input(self, context: InputContext) -> Lake:  # noqa: ARG002 - every table is read from the same place
        """Hand over the place to read from."""
        return self.lake

    def handle_output(self, context: OutputContext, obj: Callable[[], Iterator[tuple[StarPart, Remodelled]]]) -> None:
        """Write the parts that are missing, and say in the metadata what that was."""
        started = perf_counter()
        written = clearly(lambda: retried("Remodel", lambda: write_star(self.lake, obj())))
        context.add_output_metadata(
            {
                "batches": MetadataValue.text(", ".join(map(str, written.batches)) or "none were missing"),
                "batch": max(written.batches, default=None),
                "rows": written.rows,
                "quarantined": written.quarantined,
                "parts": written.parts,
                "bytes": written.bytes,
                "seconds": round(perf_counter() - started, 3),
                **self._preview(context.asset_key.path[-1], written),
            }
        )
        if written.parts:
            batches = ", ".join(map(str, written.batches))
            context.log.info(f"Wrote {written.rows:,} rows in {written.parts:,} parts, of batch {batches}.")

    def _preview(self, star: str, written: Written) -> dict[str, TableMetadataValue]:
        if written.newest is None:
            return {}
        columns = remodelled_columns(TABLES[star])
        shown = [column.name for column in columns if not is_personal(column)]
        return {"preview": preview_of(written.newest, shown)}
