"""Checks of the processed zone: what remodels wrote is read back, and goes no further if it is not sound."""

from collections.abc import Iterator

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckKey,
    AssetCheckResult,
    AssetCheckSpec,
    ResourceParam,
    multi_asset_check,
)

from totes_dagster.assets.specs import key_of_processed
from totes_dagster.failures import clearly
from totes_dagster.resources.databases import Warehouse
from totes_dagster.resources.zones import Zone
from totes_dagster.schema.warehouse import TABLES, natural_key_of, remodelled_columns
from totes_dagster.stages.retry import retried
from totes_dagster.stages.soundness import Soundness, soundness_of_waiting
from totes_dagster.stages.status import loaded_batch

UNIQUE = "keys_unique"
PRESENT = "values_present"


@multi_asset_check(
    name="check_before_load",
    description="Reads back what was remodelled and is not loaded yet. Nothing is loaded if it is not sound.",
    specs=[
        spec
        for name, star in TABLES.items()
        for spec in (
            AssetCheckSpec(
                UNIQUE,
                asset=key_of_processed(name),
                blocking=True,
                description=f"No two rows of a batch have the same {natural_key_of(star)}.",
            ),
            AssetCheckSpec(
                PRESENT,
                asset=key_of_processed(name),
                blocking=True,
                description="Every row has a value for "
                + ", ".join(column.name for column in remodelled_columns(star) if not column.nullable)
                + ".",
            ),
        )
    ],
    can_subset=True,
)
def sound_before_load(
    context: AssetCheckExecutionContext,
    warehouse: Warehouse,
    ingestion_zone: ResourceParam[Zone],
    processed_zone: ResourceParam[Zone],
) -> Iterator[AssetCheckResult]:
    """Look at all that waits to be loaded."""
    selected = context.selected_asset_check_keys
    names = [name for name in TABLES if any(key.asset_key == key_of_processed(name) for key in selected)]

    def look() -> dict[str, Soundness]:
        loaded = loaded_batch(warehouse.database(), warehouse.warehouse_schema)
        ingestion, processed = ingestion_zone.lake, processed_zone.lake
        return {name: soundness_of_waiting(TABLES[name], loaded, ingestion, processed) for name in names}

    found = clearly(lambda: retried("Check", look))
    context.log.info(f"Read back {sum(waiting.rows for waiting in found.values()):,} rows that wait to be loaded.")
    for name, waiting in found.items():
        for result in star_results(name, waiting):
            if AssetCheckKey(key_of_processed(name), str(result.check_name)) in selected:
                yield result


def star_results(name: str, waiting: Soundness) -> Iterator[AssetCheckResult]:
    """What was found of one star table."""
    yield AssetCheckResult(
        check_name=UNIQUE,
        asset_key=key_of_processed(name),
        passed=not waiting.repeated,
        description=f"{waiting.repeated:,} rows share their key with another, such as "
        f"{', '.join(waiting.repeated_keys)}."
        if waiting.repeated
        else _sound(waiting, "each key is there once"),
        metadata={"rows": waiting.rows, "repeated": waiting.repeated},
    )
    yield AssetCheckResult(
        check_name=PRESENT,
        asset_key=key_of_processed(name),
        passed=not waiting.nulls,
        description="; ".join(f"{column} has no value in {rows:,} rows" for column, rows in waiting.nulls.items())
        or _sound(waiting, "no value is missing"),
        metadata={"rows": waiting.rows, "nulls": waiting.nulls.total()},
    )


def _sound(waiting: Soundness, said: str) -> str:
    if not waiting.batches:
        return "Nothing waits to be loaded."
    return f"In {waiting.rows:,} rows of {waiting.batches:,} batches that wait to be loaded, {said}."
