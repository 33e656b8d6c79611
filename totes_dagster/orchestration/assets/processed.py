"""The processed zone's assets: one for each star table, whose body is one pure function of `remodel/tables/`."""

from dagster import AssetsDefinition, ResourceParam, asset
from sqlalchemy import Table

from totes_dagster.lake.zone import Lake
from totes_dagster.orchestration.io_manager import ZoneIOManager
from totes_dagster.orchestration.specs import (
    OWNERS,
    column_schema,
    key_of_ingested,
    key_of_processed,
    remodelled_lineage,
)
from totes_dagster.pipeline import MissingParts
from totes_dagster.remodel.rows import function_of
from totes_dagster.schema.registry import STAR_TABLES, inputs_of
from totes_dagster.schema.star import remodelled_columns


def processed_asset(star: Table) -> AssetsDefinition:
    """The asset that computes a star table's missing parts, in every batch."""
    function = function_of(star.name)

    @asset(
        key=key_of_processed(star.name),
        # Read part by part in the body, not passed as inputs, because whole tables may not fit into memory.
        deps=[key_of_ingested(name) for name in inputs_of(star.name)],
        io_manager_key="processed_zone",
        group_name="processed",
        description=f"{star.comment} Remodelled batch by batch by `{function.__module__.split('.')[-1]}."
        f"{function.__name__}`.\n\n{function.__doc__}",
        kinds={"s3", "parquet", "pandas"},
        owners=OWNERS,
        metadata={
            "dagster/column_schema": column_schema(star, remodelled_columns(star)),
            "dagster/column_lineage": remodelled_lineage(star),
        },
    )
    def _remodel(
        ingestion_zone: ResourceParam[ZoneIOManager], processed_zone: ResourceParam[ZoneIOManager]
    ) -> MissingParts:
        # Computed part by part, as the IO manager writes them.
        return MissingParts(star.name, Lake(ingestion_zone.zone, processed_zone.zone))

    return _remodel


processed_assets = [processed_asset(star) for star in STAR_TABLES.values()]
