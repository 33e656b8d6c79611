"""The processed zone's assets: one for each star table, whose body is one pure function of `remodel/tables/`."""

from dagster import AssetsDefinition, DataVersion, MaterializeResult, ResourceParam, asset
from sqlalchemy import Table

from totes_dagster.lake.batch_log import BatchLog
from totes_dagster.lake.processed import last_change_of
from totes_dagster.lake.zone import Zone
from totes_dagster.orchestration.failures import run_step
from totes_dagster.orchestration.io_managers.processed import ProcessedIOManager
from totes_dagster.orchestration.resources.workers import WorkersResource
from totes_dagster.orchestration.specs import (
    OWNERS,
    PROCESSED_ZONE,
    column_schema,
    key_of_ingested,
    key_of_processed,
    remodelled_lineage,
)
from totes_dagster.pipeline import MissingParts
from totes_dagster.remodel.rows import function_of
from totes_dagster.runtime.retry import retried
from totes_dagster.schema.registry import CALENDAR, STAR_TABLES, inputs_of
from totes_dagster.schema.star import kind_of, remodel_version_of, remodelled_columns


def processed_asset(star: Table) -> AssetsDefinition:
    """The asset that computes a star table's missing parts, in every batch."""
    function = function_of(star.name)

    @asset(
        key=key_of_processed(star.name),
        # Read part by part in the body, not passed as inputs, because whole tables may not fit into memory.
        deps=[key_of_ingested(name) for name in inputs_of(star.name)],
        # After the facts, whose days it reads where they are remodelled already. No dependency: if there is nothing to
        # read, it computes them.
        op_tags={"dagster/priority": "-1"} if star is CALENDAR else {},
        io_manager_key=PROCESSED_ZONE,
        code_version=str(remodel_version_of(star)),
        group_name="processed",
        description=f"{star.comment} Remodelled batch by batch by `{function.__module__.split('.')[-1]}."
        f"{function.__name__}`.\n\n{function.__doc__}",
        kinds={"s3", "parquet", "pandas"},
        owners=OWNERS,
        tags={"stage": "processed", "star": kind_of(star).value},
        metadata={
            "dagster/table_name": f"processed.{star.name}",
            "dagster/column_schema": column_schema(star, remodelled_columns(star)),
            "dagster/column_lineage": remodelled_lineage(star),
        },
    )
    def _remodel(workers: WorkersResource, processed_zone: ResourceParam[ProcessedIOManager]) -> MaterializeResult:  # type: ignore[type-arg]
        # The stream is computed part by part, as the IO manager takes and writes them.
        lake = processed_zone.lake
        version = run_step(lambda: retried("Remodel", lambda: version_of(star.name, lake.ingestion)))
        parts = MissingParts(star.name, lake, cluster=run_step(workers.cluster))
        return MaterializeResult(value=parts, data_version=DataVersion(str(version)))

    return _remodel


def version_of(star: str, ingestion: Zone) -> int:
    """The data version of a star table in the processed zone: the newest batch that brought something to it."""
    log = BatchLog(ingestion)
    head = log.head()
    return last_change_of(star, log.manifest(head)) if head else 0


processed_assets = [processed_asset(star) for star in STAR_TABLES.values()]
