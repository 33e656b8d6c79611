"""The real graph of assets, on databases and folders that a test can look into."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from dagster import AssetKey, DagsterInstance, Definitions, ExecuteInProcessResult

from totes_dagster.config.platform import Platform
from totes_dagster.definitions import build_defs
from totes_dagster_tests.companies import Company
from totes_dagster_tests.resources import resources_of


@dataclass(frozen=True)
class Graph:
    """Definitions, the platform and resources they work on, and an instance of Dagster that remembers their runs."""

    platform: Platform
    resources: Mapping[str, Any]
    definitions: Definitions
    instance: DagsterInstance

    def run(self, job: str = "refresh", **options: Any) -> ExecuteInProcessResult:
        """Run a job in this process."""
        return self.definitions.resolve_job_def(job).execute_in_process(instance=self.instance, **options)

    def materialise(self, *keys: str, **options: Any) -> ExecuteInProcessResult:
        """Materialise some assets alone, named like `processed/dim_staff`."""
        job = self.definitions.resolve_implicit_global_asset_job_def()
        selection = [AssetKey(key.split("/")) for key in keys]
        return job.execute_in_process(instance=self.instance, asset_selection=selection, **options)

    def change(self, *statements: str) -> None:
        """Change the source, in one transaction."""
        with psycopg.connect(self.platform.source.url) as connection:
            for statement in statements:
                connection.execute(statement)

    def ask(self, query: str) -> Sequence[tuple[Any, ...]]:
        """Rows of the warehouse."""
        with psycopg.connect(self.platform.warehouse.database.url) as connection:
            return connection.execute(query).fetchall()


def company_of_a_graph(*, enforced: bool = True, at_work: bool = False) -> Company:
    """The company that graphs are for, unless a test says otherwise."""
    return Company(orders=20, enforced=enforced, schema="analytics", at_work=at_work)


def graph_of(platform: Platform) -> Graph:
    """The graph that works on a platform; Dagster remembers no run of it."""
    resources = resources_of(platform)
    return Graph(platform, resources, build_defs(resources), DagsterInstance.ephemeral())


def metadata_of(result: ExecuteInProcessResult) -> Mapping[str, Mapping[str, Any]]:
    """What a run said of each asset that it materialised, by the asset's name."""
    return {
        event.step_materialization_data.materialization.asset_key.to_user_string(): {
            name: value.value for name, value in event.step_materialization_data.materialization.metadata.items()
        }
        for event in result.all_events
        if event.is_step_materialization
    }
