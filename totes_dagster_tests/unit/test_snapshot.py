"""The graph as it was reviewed: a change of it shows here, and is accepted by `make snapshot`."""

from typing import Any

import pytest
from dagster import Definitions
from syrupy.assertion import SnapshotAssertion

from totes_dagster.definitions import build_defs
from totes_dagster_tests.settings import ALL, SECRETS


@pytest.fixture
def definitions(monkeypatch: pytest.MonkeyPatch) -> Definitions:
    for name in (*ALL, *SECRETS):
        monkeypatch.delenv(name, raising=False)
    return build_defs()


def names(keys: Any) -> list[str]:
    return sorted(key.to_user_string() for key in keys)


def test_the_assets_are_those_that_were_reviewed(definitions: Definitions, snapshot: SnapshotAssertion) -> None:
    graph = definitions.resolve_asset_graph()
    assert snapshot == {
        spec.key.to_user_string(): {
            "group": spec.group_name,
            "upstream": names(graph.get(spec.key).parent_keys),
            "step": definitions.resolve_assets_def(spec.key).node_def.name
            if graph.get(spec.key).is_materializable
            else None,
            "kinds": sorted(spec.kinds),
            "tags": {name: value for name, value in sorted(spec.tags.items()) if not name.startswith("dagster/")},
            "table": spec.metadata["dagster/table_name"],
            "code_version": spec.code_version,
            "owners": list(spec.owners),
            "freshness": str(spec.freshness_policy) if spec.freshness_policy else None,
        }
        for spec in sorted(definitions.resolve_all_asset_specs(), key=lambda spec: spec.key)
    }


def test_the_checks_are_those_that_were_reviewed(definitions: Definitions, snapshot: SnapshotAssertion) -> None:
    graph = definitions.resolve_asset_graph()
    assert snapshot == sorted(
        f"{key.asset_key.to_user_string()} {key.name}{' (blocking)' if graph.get(key).blocking else ''}"
        for key in graph.asset_check_keys
    )


def test_the_automation_is_what_was_reviewed(definitions: Definitions, snapshot: SnapshotAssertion) -> None:
    repository = definitions.get_repository_def()
    assert snapshot == {
        "jobs": {
            job.name: {
                "steps": sorted(node.name for node in job.graph.nodes),
                "description": job.description,
            }
            for job in repository.get_all_jobs()
            if not job.name.startswith("__")
        },
        "sensors": {
            sensor.name: [sensor.default_status.value, sensor.minimum_interval_seconds, sensor.description]
            for sensor in repository.sensor_defs
        },
        "schedules": {
            schedule.name: [schedule.default_status.value, schedule.cron_schedule, schedule.description]
            for schedule in repository.schedule_defs
        },
        "resources": sorted(repository.get_top_level_resources()),
    }
