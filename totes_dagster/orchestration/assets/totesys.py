"""The source's tables, as external assets: Dagster shows them, but does not write them."""

from dagster import AssetSpec

from totes_dagster.orchestration.specs import column_schema, key_of_source
from totes_dagster.schema.totesys import SOURCE_TABLES

totesys_assets = [
    AssetSpec(
        key_of_source(name),
        group_name="totesys",
        description=table.comment,
        kinds={"postgres", "table"},
        owners=["team:operations"],
        tags={"stage": "source"},
        metadata={"dagster/table_name": f"totesys.{name}", "dagster/column_schema": column_schema(table)},
    )
    for name, table in SOURCE_TABLES.items()
]
