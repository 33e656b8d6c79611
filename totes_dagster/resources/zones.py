"""The two zones of the lake as Dagster IO managers."""

from collections.abc import Iterator

from dagster import ConfigurableIOManager, InputContext, MetadataValue, OutputContext
from pydantic import Field

from totes_dagster.lake.store import Lake
from totes_dagster.platform import lake_zone
from totes_dagster.stages.remodel import Remodelled, StarPart, write_star


class Zone(ConfigurableIOManager):
    """One zone of the lake, in a bucket or a folder.

    Assets downstream get the zone itself, to read from part by part, and no rows. Assets stored in the zone hand over
    an iterator of parts, which are computed and written one at a time, each with a conditional create.
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

    def handle_output(self, context: OutputContext, obj: Iterator[tuple[StarPart, Remodelled]]) -> None:
        """Write the parts that are missing, and say in the metadata what that was."""
        written = write_star(self.lake, obj)
        context.add_output_metadata(
            {
                "batches": MetadataValue.text(", ".join(map(str, written.batches)) or "none were missing"),
                "batch": max(written.batches, default=None),
                "rows": written.rows,
                "quarantined": written.quarantined,
                "parts": written.parts,
                "bytes": written.bytes,
            }
        )
        if written.parts:
            context.log.info(f"{written.rows} rows in {written.parts} parts written for batches {written.batches}.")
