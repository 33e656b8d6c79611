"""The ingestion zone as a Dagster IO manager."""

from typing import Any

from dagster import ConfigurableIOManager, InputContext, OutputContext
from pydantic import Field

from totes_dagster.config.platform import lake_zone
from totes_dagster.lake.zone import Zone
from totes_dagster.orchestration.io_managers.inputs import load_rows, refuse_output
from totes_dagster.reading.lake import ingested_rows

ZONE_URL = Field(default="", description="s3://bucket[/prefix] or file:///folder; empty for the embedded stack.")


class IngestionIOManager(ConfigurableIOManager):
    """The ingestion zone of the lake, in a bucket or a folder: inputs are loaded from it.

    The ingest itself writes to it, and its assets hand no value over. A batch counts only when one manifest is created,
    after the parts of *all* its tables; that may fail because another ingest was first, and then all of it is captured
    again. An IO manager is called table by table, and Dagster would record each table as materialized before it is
    known whether there will be a batch.
    """

    url: str = ZONE_URL

    @property
    def zone(self) -> Zone:
        """The bucket or folder."""
        return lake_zone("ingestion", self.url)

    def handle_output(self, context: OutputContext, obj: Any) -> None:  # noqa: ARG002 - whatever it is
        """Refuse it: see the class."""
        raise refuse_output("the ingestion zone")

    def load_input(self, context: InputContext) -> Any:
        """The rows of a source table, with its declared columns; see `load_rows`.

        An input of type `Zone` is the zone itself.
        """
        if context.dagster_type.typing_type is Zone:
            return self.zone
        return load_rows(context, lambda table, selection: ingested_rows(table, self.zone, selection))
