"""The assets of the feeds: the files in the landing zone, and the rows of each stage.

A feed has one asset at each stage, as a source table has. Those of different feeds do not depend on one another, nor on
those of totesys.
"""

from datetime import timedelta
from time import perf_counter
from typing import Any

from dagster import (
    AssetsDefinition,
    AssetSpec,
    DataVersion,
    FreshnessPolicy,
    MaterializeResult,
    MetadataValue,
    ResourceParam,
    TableColumn,
    TableSchema,
    asset,
)

from totes_dagster import feed_pipeline, pipeline
from totes_dagster.feeds.declared import EXCHANGE_RATE, SALES_TARGET, SHIPMENT, Feed
from totes_dagster.lake.batch_log import FeedLog
from totes_dagster.orchestration.assets.warehouse import SCHEMA
from totes_dagster.orchestration.failures import run_step
from totes_dagster.orchestration.feeds.checks import check_results, check_specs
from totes_dagster.orchestration.io_managers.processed import ProcessedIOManager
from totes_dagster.orchestration.metadata import table_of
from totes_dagster.orchestration.resources.databases import WarehouseResource
from totes_dagster.orchestration.resources.landing import LandingResource
from totes_dagster.orchestration.specs import (
    OWNERS,
    column_schema,
    key_of_ingested,
    key_of_landed,
    key_of_loaded,
    key_of_processed,
)
from totes_dagster.runtime.retry import retried
from totes_dagster.schema.star import remodel_version_of, remodelled_columns
from totes_dagster.warehouse.feed_status import feed_status, rates_needed

EXPECTED_EVERY = {
    EXCHANGE_RATE.name: timedelta(days=6),
    SHIPMENT.name: timedelta(days=4),
    SALES_TARGET.name: timedelta(days=45),
}
"""After how long without a new file a feed is not fresh any more. The longest time without new rates, from Maundy
Thursday to the Tuesday after Easter, is five days."""

SINCE = "since"
"""Metadata of a fetch: the first day that was asked for."""

NOTHING_ASKED = "nothing was asked for"
"""Its value if the warehouse had no orders yet."""

_OWNERS = {SALES_TARGET.name: ["team:controlling"], SHIPMENT.name: ["team:logistics"]}


def keys_of(feed: Feed) -> dict[str, Any]:
    """The keys of a feed's assets, by stage."""
    return {
        "landing": key_of_landed(feed.name),
        "ingestion": key_of_ingested(feed.name),
        "processed": key_of_processed(feed.fact.name),
        "warehouse": key_of_loaded(feed.fact.name),
    }


def landed_asset(feed: Feed) -> AssetSpec:
    """The files of a feed, which others drop: an external asset."""
    return AssetSpec(
        key_of_landed(feed.name),
        group_name="landing",
        description=f"{feed.description} Files in the folder `{feed.name}/` of the landing zone.",
        kinds={"file"},
        owners=_OWNERS.get(feed.name, OWNERS),
        tags={"stage": "landing", "feed": feed.name},
        metadata={"dagster/table_name": f"landing.{feed.name}", "dagster/column_schema": _contract_columns(feed)},
    )


def fetched_asset(feed: Feed) -> AssetsDefinition:
    """The files of exchange rates where the platform fetches them itself."""

    @asset(
        key=key_of_landed(feed.name),
        group_name="landing",
        description=f"{feed.description} Fetched for the currencies that the warehouse has, from two weeks before the "
        "newest rate on, because a rate may be revised. A body that says nothing new is not kept.",
        kinds={"file"},
        owners=OWNERS,
        tags={"stage": "landing", "feed": feed.name},
        metadata={"dagster/table_name": f"landing.{feed.name}", "dagster/column_schema": _contract_columns(feed)},
    )
    def _fetch(
        landing: LandingResource, warehouse: WarehouseResource, processed_zone: ResourceParam[ProcessedIOManager]
    ) -> MaterializeResult:  # type: ignore[type-arg]
        def fetch() -> feed_pipeline.FetchedRates:
            target = warehouse.warehouse()
            pipeline.migrate(target)
            needed = retried("Read the warehouse", lambda: rates_needed(target))
            zone = landing.required()
            return feed_pipeline.fetch_exchange_rates(
                landing.rates_source(), needed, zone, processed_zone.lake.ingestion
            )

        fetched = run_step(fetch)
        return MaterializeResult(
            metadata={
                "file": fetched.path or "nothing new",
                SINCE: fetched.since.isoformat() if fetched.since else NOTHING_ASKED,
                "currencies": ", ".join(fetched.currencies) or "none",
                "source": "European Central Bank",
            }
        )

    return _fetch


def taken_asset(feed: Feed, *, fetched: bool) -> AssetsDefinition:
    """The rows of a feed's files in the ingestion zone; see `assets_of`."""

    @asset(
        key=key_of_ingested(feed.name),
        deps=[key_of_landed(feed.name)],
        group_name="ingestion",
        description=f"{feed.description} Each batch takes the files that no batch has taken, in the order in which "
        "they landed; rows that break the contract are set aside, with their file and line.",
        kinds={"s3", "parquet"},
        owners=OWNERS,
        tags={"stage": "ingestion", "feed": feed.name},
        code_version="1",
        metadata={
            "dagster/table_name": f"ingestion.{feed.name}",
            "dagster/column_schema": _contract_columns(feed),
        },
    )
    def _take(landing: LandingResource, processed_zone: ResourceParam[ProcessedIOManager]) -> MaterializeResult:  # type: ignore[type-arg]
        started, ingestion = perf_counter(), processed_zone.lake.ingestion

        def take() -> tuple[list[Any], int]:
            zone = landing.required()
            taken = feed_pipeline.take_feed(feed, zone.settled if fetched else zone, ingestion)
            return taken, FeedLog(ingestion, feed.name).head()

        taken, head = run_step(take)
        files = [file for batch in taken for file in batch.files]
        shown = [
            {
                "path": file.path,
                "rows": file.rows,
                "quarantined": file.quarantined,
                "result": file.refused or (f"repeats {file.repeats}" if file.repeats else "taken"),
            }
            for file in files[-20:]
        ]
        return MaterializeResult(
            data_version=DataVersion(str(head)),
            metadata={
                "batch": head,
                "files": len(files),
                "refused": sum(file.refused is not None for file in files),
                "rows": sum(batch.rows for batch in taken),
                "quarantined": sum(batch.quarantined for batch in taken),
                "seconds": round(perf_counter() - started, 3),
                **({"newest files": table_of(shown)} if shown else {}),
            },
        )

    return _take


def remodelled_asset(feed: Feed) -> AssetsDefinition:
    """The rows of a feed's fact in the processed zone."""

    @asset(
        key=key_of_processed(feed.fact.name),
        deps=[key_of_ingested(feed.name)],
        group_name="processed",
        description=f"{feed.fact.comment} Remodelled batch by batch by `tables.{feed.fact.name}`.\n\n"
        f"{feed.function.__doc__}",
        kinds={"s3", "parquet", "pandas"},
        owners=OWNERS,
        tags={"stage": "processed", "feed": feed.name},
        code_version=str(remodel_version_of(feed.fact)),
        metadata={
            "dagster/table_name": f"processed.{feed.fact.name}",
            "dagster/column_schema": column_schema(feed.fact, remodelled_columns(feed.fact)),
        },
    )
    def _remodel(processed_zone: ResourceParam[ProcessedIOManager]) -> MaterializeResult:  # type: ignore[type-arg]
        started, lake = perf_counter(), processed_zone.lake
        remodelled = run_step(lambda: feed_pipeline.remodel_feed(feed, lake))
        return MaterializeResult(
            data_version=DataVersion(str(run_step(lambda: FeedLog(lake.ingestion, feed.name).head()))),
            metadata={
                "batches": ", ".join(map(str, remodelled.batches)) or "none were missing",
                "rows": remodelled.rows,
                "quarantined": remodelled.quarantined,
                "seconds": round(perf_counter() - started, 3),
            },
        )

    return _remodel


def loaded_asset(feed: Feed) -> AssetsDefinition:
    """The rows of a feed's fact in the warehouse."""

    @asset(
        key=key_of_loaded(feed.fact.name),
        deps=[key_of_processed(feed.fact.name)],
        group_name="warehouse",
        description=f"{feed.fact.comment}",
        kinds={"postgres", "table"},
        owners=OWNERS,
        tags={"stage": "warehouse", "feed": feed.name},
        freshness_policy=FreshnessPolicy.time_window(fail_window=EXPECTED_EVERY[feed.name]),
        code_version=str(remodel_version_of(feed.fact)),
        check_specs=check_specs(feed),
        metadata={
            "dagster/table_name": f"{SCHEMA}.{feed.fact.name}",
            "dagster/column_schema": column_schema(feed.fact),
        },
    )
    def _load(warehouse: WarehouseResource, processed_zone: ResourceParam[ProcessedIOManager]) -> MaterializeResult:  # type: ignore[type-arg]
        started, target = perf_counter(), warehouse.warehouse()
        loaded = run_step(lambda: feed_pipeline.load_feed(feed, target, processed_zone.lake))
        status = run_step(lambda: retried("Read the warehouse", lambda: feed_status(feed, target)))
        counts: dict[str, int] = {}
        for batch in loaded:
            counts = {name: counts.get(name, 0) + count for name, count in batch.counts().items()}
        results = run_step(lambda: retried("Check", lambda: check_results(feed, status, target)))
        return MaterializeResult(
            data_version=DataVersion(str(status.batch)),
            metadata={
                "dagster/row_count": status.rows,
                "batch": status.batch,
                "batches_loaded": len(loaded),
                **counts,
                "seconds": round(perf_counter() - started, 3),
                **({"taken_at": MetadataValue.timestamp(status.taken_at)} if status.taken_at else {}),
            },
            check_results=results,
        )

    return _load


def assets_of(feed: Feed, *, fetched: bool) -> list[AssetsDefinition | AssetSpec]:
    """The assets of a feed.

    Args:
        feed: the feed.
        fetched: whether the platform fetches the feed's files itself.
    """
    landed = fetched_asset(feed) if fetched else landed_asset(feed)
    return [landed, taken_asset(feed, fetched=fetched), remodelled_asset(feed), loaded_asset(feed)]


def _contract_columns(feed: Feed) -> TableSchema:
    described = {name: field.description or "" for name, field in feed.contract.model_fields.items()}
    return TableSchema(
        [TableColumn(column.name, str(column.type), described.get(column.name, "")) for column in feed.columns]
    )
