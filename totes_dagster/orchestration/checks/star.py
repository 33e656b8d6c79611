"""Checks of the processed zone: remodelled parts are read back, and none is loaded unless all are sound."""

from collections.abc import Iterator

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetCheckSpec,
    ResourceParam,
    multi_asset_check,
)

from totes_dagster.orchestration.failures import run_step
from totes_dagster.orchestration.io_managers.processed import ProcessedIOManager
from totes_dagster.orchestration.resources.databases import WarehouseResource
from totes_dagster.orchestration.specs import key_of_processed
from totes_dagster.remodel.verification import Verification, verify_waiting, waiting_batches
from totes_dagster.runtime.retry import retried
from totes_dagster.schema.registry import STAR_TABLES
from totes_dagster.schema.star import natural_key_of, remodelled_columns
from totes_dagster.warehouse.status import loaded_batch

SOUND = "unique_and_not_null"


@multi_asset_check(
    name="check_before_load",
    description="Reads back what is remodelled but not loaded yet. Nothing is loaded unless all of it is sound.",
    specs=[
        AssetCheckSpec(
            SOUND,
            asset=key_of_processed(name),
            blocking=True,
            description=f"No two rows of a batch have the same {natural_key_of(star)}, and every row has a value for "
            + ", ".join(column.name for column in remodelled_columns(star) if not column.nullable)
            + ".",
        )
        for name, star in STAR_TABLES.items()
    ],
    can_subset=True,
)
def sound_before_load(
    context: AssetCheckExecutionContext,
    warehouse: WarehouseResource,
    processed_zone: ResourceParam[ProcessedIOManager],
) -> Iterator[AssetCheckResult]:
    """Verify everything that waits to be loaded."""
    selected = {key.asset_key for key in context.selected_asset_check_keys}

    def verify() -> dict[str, Verification]:
        loaded = loaded_batch(warehouse.warehouse())
        lake = processed_zone.lake
        manifests = waiting_batches(loaded, lake.ingestion)
        return {
            name: verify_waiting(star, manifests, lake.processed)
            for name, star in STAR_TABLES.items()
            if key_of_processed(name) in selected
        }

    verifications = run_step(lambda: retried("Check", verify))
    context.log.info(f"Read back {sum(each.rows for each in verifications.values()):,} rows that wait to be loaded.")
    yield from (star_result(name, each) for name, each in verifications.items())


def star_result(name: str, found: Verification) -> AssetCheckResult:
    """The result for one star table."""
    problems = [f"{column} has no value in {rows:,} rows" for column, rows in found.nulls.items()]
    if found.repeated:
        keys = ", ".join(found.repeated_keys)
        problems.append(f"{found.repeated:,} rows share their key with another, such as {keys}")
    if problems:
        description = f"{'; '.join(problems)}."
    elif found.batches:
        description = f"{found.rows:,} rows of {found.batches:,} batches wait to be loaded, and all are sound."
    else:
        description = "Nothing waits to be loaded."
    return AssetCheckResult(
        check_name=SOUND,
        asset_key=key_of_processed(name),
        passed=not problems,
        description=description,
        metadata={"rows": found.rows, "repeated": found.repeated, "nulls": found.nulls.total()},
    )
