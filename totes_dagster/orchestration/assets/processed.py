"""The processed zone's eleven star tables: one plain asset each, whose body is one pure function of `model/`."""

from collections.abc import Iterator
from time import perf_counter
from typing import Any

from dagster import AssetsDefinition, ResourceParam, asset
from sqlalchemy import Table

from totes_dagster.aws.metrics import Stage, emit_stage
from totes_dagster.orchestration.io_manager import Zone
from totes_dagster.orchestration.specs import (
    OWNERS,
    column_schema,
    key_of_ingested,
    key_of_processed,
    remodelled_lineage,
)
from totes_dagster.remodel.run import REMODELS, Remodelled, StarPart, remodelled
from totes_dagster.schema.warehouse import TABLES, remodelled_columns


def processed_asset(star: Table) -> AssetsDefinition:
    """The asset that remodels a star table in every batch that lacks it."""
    remodel = REMODELS[star.name]

    @asset(
        key=key_of_processed(star.name),
        # Read part by part in the body, and not handed over as inputs: whole tables do not fit into memory.
        deps=[key_of_ingested(name) for name in remodel.inputs],
        io_manager_key="processed_zone",
        group_name="processed",
        description=f"{star.comment} Remodelled batch by batch by `{remodel.function.__module__.split('.')[-1]}."
        f"{remodel.function.__name__}`.\n\n{remodel.function.__doc__}",
        kinds={"s3", "parquet", "pandas"},
        owners=OWNERS,
        metadata={
            "dagster/column_schema": column_schema(star, remodelled_columns(star)),
            "dagster/column_lineage": remodelled_lineage(star),
        },
    )
    def _remodel(ingestion_zone: ResourceParam[Zone], processed_zone: ResourceParam[Zone]) -> Any:
        started, rows = perf_counter(), 0

        def measured() -> Iterator[tuple[StarPart, Remodelled]]:
            # Computed part by part, as the IO manager writes them; it may begin anew for what is missing then.
            nonlocal rows
            for part, done in remodelled(star.name, ingestion_zone.lake, processed_zone.lake):
                yield part, done
                rows += done.rows.num_rows  # now they are written
            emit_stage(Stage.REMODEL, rows=rows, seconds=perf_counter() - started)

        return measured

    return _remodel


processed_assets = [processed_asset(star) for star in TABLES.values()]
