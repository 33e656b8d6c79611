"""The configurations of Dagster that are deployed. `test_deployed_dagster.py` runs the one with warm runs."""

import yaml

from totes_dagster_tests.system.deploy.conftest import DEPLOY

LOCAL = DEPLOY.parent / "totes_dagster" / "orchestration" / "development"


def test_all_configurations_of_dagster_agree_but_for_where_things_are_kept_and_how_runs_start() -> None:
    ecs, warm, local = (
        yaml.safe_load((folder / "dagster.yaml").read_text()) for folder in (DEPLOY, DEPLOY / "warm", LOCAL)
    )
    assert warm.keys() - local.keys() == {"storage", "compute_logs"}
    assert {name: warm[name] for name in local} == local
    assert ecs.keys() - warm.keys() == {"run_launcher"}
    # A task takes a minute to start, and on a bad day some.
    assert ecs["run_monitoring"].pop("start_timeout_seconds") > warm["run_monitoring"].pop("start_timeout_seconds")
    assert {name for name in warm if warm[name] != ecs[name]} == {"run_coordinator"}
