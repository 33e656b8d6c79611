"""Saying that a table was materialized, whether or not the run selected it.

A batch is one snapshot of all tables, and its load one transaction. So a run does the work of every table, and tells
what it did to each; Dagster takes results only for those that the run has selected.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from dagster import AssetExecutionContext, AssetKey, AssetMaterialization, DataVersion, MaterializeResult

from totes_dagster.orchestration.specs import DATA_VERSION_TAG


def materialized(
    context: AssetExecutionContext, key: AssetKey, version: int, metadata: Mapping[str, Any]
) -> Iterator[MaterializeResult]:  # type: ignore[type-arg]
    """The result for a table that the run has selected; for any other, log a materialization.

    Args:
        context: the step.
        key: the table.
        version: the batch that last changed the table, which is its data version.
        metadata: what to say of it.
    """
    if key in context.selected_asset_keys:
        # Not as metadata of the result, which Dagster stores twice.
        context.add_asset_metadata(metadata, key)
        yield MaterializeResult(asset_key=key, data_version=DataVersion(str(version)))
    else:
        context.log_event(AssetMaterialization(key, metadata=metadata, tags={DATA_VERSION_TAG: str(version)}))
