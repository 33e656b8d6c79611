"""The processed zone as a Dagster IO manager."""

from collections.abc import Iterable
from time import perf_counter
from typing import Any

from dagster import (
    ConfigurableIOManager,
    InputContext,
    MetadataValue,
    OutputContext,
    ResourceDependency,
    TableMetadataValue,
)

from totes_dagster import pipeline
from totes_dagster.aws.metrics import Stage, emit_stage
from totes_dagster.config.platform import lake_zone
from totes_dagster.lake.zone import Lake, Zone
from totes_dagster.orchestration.failures import run_step
from totes_dagster.orchestration.io_managers.ingestion import ZONE_URL, IngestionIOManager
from totes_dagster.orchestration.io_managers.inputs import load_rows, refuse_output
from totes_dagster.orchestration.metadata import preview_of
from totes_dagster.orchestration.resources.workers import spread_of
from totes_dagster.orchestration.specs import key_of_processed
from totes_dagster.reading.lake import remodelled_rows
from totes_dagster.remodel.run import RemodelledPart, Written
from totes_dagster.schema.registry import STAR_TABLES
from totes_dagster.schema.star import is_personal, remodelled_columns


class ProcessedIOManager(ConfigurableIOManager):
    """The processed zone of the lake, in a bucket or a folder.

    An asset that is stored in it returns a stream of parts: tables of rows, each with the batch and the part that they
    belong to. Each is written with one conditional create before the next is taken from the stream, so that memory is
    bounded by a part. A part that exists is never changed.
    """

    url: str = ZONE_URL
    ingestion: ResourceDependency[IngestionIOManager]

    @property
    def zone(self) -> Zone:
        """The bucket or folder."""
        return lake_zone("processed", self.url)

    @property
    def lake(self) -> Lake:
        """Both zones: the manifests of the ingestion zone say what the processed zone should have."""
        return Lake(self.ingestion.zone, self.zone)

    def load_input(self, context: InputContext) -> Any:
        """The rows of a star table, without those in quarantine; see `load_rows`.

        An input of type `Lake` is the lake itself.
        """
        if context.dagster_type.typing_type is Lake:
            return self.lake
        return load_rows(context, lambda star, selection: remodelled_rows(star, self.lake, selection))

    def handle_output(self, context: OutputContext, obj: Iterable[RemodelledPart]) -> None:
        """Write the parts of a stream, and add metadata about them to the output.

        Raises:
            dagster.Failure: the asset is not one of the platform's, or its rows cannot be computed or written.
        """
        if context.asset_key not in map(key_of_processed, STAR_TABLES):
            raise refuse_output("the processed zone")
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
                **spread_of(obj.cluster if isinstance(obj, pipeline.MissingParts) else None),
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
