"""The two zones of the lake as Dagster IO managers."""

from collections.abc import Iterable
from time import perf_counter

from dagster import ConfigurableIOManager, InputContext, MetadataValue, OutputContext, TableMetadataValue
from pydantic import Field

from totes_dagster import pipeline
from totes_dagster.aws.metrics import Stage, emit_stage
from totes_dagster.config.platform import lake_zone
from totes_dagster.lake.zone import Zone
from totes_dagster.orchestration.failures import run_step
from totes_dagster.orchestration.metadata import preview_of
from totes_dagster.remodel.run import RemodelledPart, Written
from totes_dagster.schema.registry import STAR_TABLES
from totes_dagster.schema.star import is_personal, remodelled_columns


class ZoneIOManager(ConfigurableIOManager):
    """One zone of the lake, in a bucket or a folder.

    An asset stored in the zone returns its parts, which are computed and written one at a time, each with a conditional
    create. An asset that takes such an asset as an input gets the zone itself, from which it reads part by part.
    """

    zone_name: str = Field(description="`ingestion` or `processed`.")
    url: str = Field(default="", description="s3://bucket[/prefix] or file:///folder; empty for the embedded stack.")

    @property
    def zone(self) -> Zone:
        """The bucket or folder."""
        return lake_zone(self.zone_name, self.url)

    def load_input(self, context: InputContext) -> Zone:  # noqa: ARG002 - the zone is the same for every table
        """The zone to read from."""
        return self.zone

    def handle_output(self, context: OutputContext, obj: Iterable[RemodelledPart]) -> None:
        """Write the parts as they are computed, and add metadata about them to the output."""
        started = perf_counter()
        written = run_step(lambda: pipeline.write_parts(obj, self.zone))
        seconds = perf_counter() - started
        emit_stage(Stage.REMODEL, rows=written.rows, seconds=seconds)
        context.add_output_metadata(
            {
                "batches": MetadataValue.text(", ".join(map(str, written.batches)) or "none were missing"),
                "batch": max(written.batches, default=None),
                "rows": written.rows,
                "quarantined": written.quarantined,
                "parts": written.parts,
                "bytes": written.bytes,
                "seconds": round(seconds, 3),
                **self._preview(context.asset_key.path[-1], written),
            }
        )
        if written.parts:
            batches = ", ".join(map(str, written.batches))
            context.log.info(f"Wrote {written.rows:,} rows in {written.parts:,} parts, of batch {batches}.")

    def _preview(self, star: str, written: Written) -> dict[str, TableMetadataValue]:
        if written.newest is None:
            return {}
        columns = remodelled_columns(STAR_TABLES[star])
        shown = [column.name for column in columns if not is_personal(column)]
        return {"preview": preview_of(written.newest, shown)}
