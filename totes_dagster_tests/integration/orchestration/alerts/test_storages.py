"""The sensor finds the same in every storage that Dagster keeps its runs in."""

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import yaml
from dagster import AssetMaterialization, DagsterInstance

from totes_dagster.orchestration.specs import key_of_loaded
from totes_dagster.schema.registry import STAR_TABLES
from totes_dagster_tests.integration.mailbox import Mailbox
from totes_dagster_tests.watcher import OTHERS, Watcher, fail, run

pytestmark = pytest.mark.slow

WEST, EAST = "Pacific/Pago_Pago", "Pacific/Kiritimati"


def postgres_instance(url: str, zone: str, folder: Path) -> DagsterInstance:
    """An instance on a database that tells the time of some other place."""
    with psycopg.connect(url, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f"alter database \"{name}\" set timezone to '{zone}'")
    (folder / "dagster.yaml").write_text(yaml.safe_dump({"storage": {"postgres": {"postgres_url": url}}}))
    return DagsterInstance.from_config(str(folder))


@pytest.fixture(params=["SQLite", WEST, EAST])
def instance(request: pytest.FixtureRequest, tmp_path: Path, database: Callable[..., str]) -> Iterator[DagsterInstance]:
    if request.param == "SQLite":
        with DagsterInstance.local_temp(str(tmp_path)) as instance:
            yield instance
    else:
        with postgres_instance(database("dagster"), request.param, tmp_path) as instance:
            yield instance


def test_a_failure_and_its_recovery_are_found_in_every_storage(instance: DagsterInstance, mailbox: Mailbox) -> None:
    fail(instance, "reconcile")
    run(instance, "refresh", fails=True, jobs=OTHERS)
    for name in STAR_TABLES:
        instance.report_runless_asset_event(AssetMaterialization(key_of_loaded(name)))
    watcher = Watcher(instance, mailbox.topic)
    watcher.tick()
    first = fail(instance)
    watcher.tick()
    run(instance, "refresh", jobs=OTHERS)
    assert watcher.tick().startswith("2 incidents open since ")
    run(instance)
    watcher.tick()
    assert watcher.watch.missing == {}
    arrived = mailbox.arrived()
    assert [f"{message.attributes['subject']} {message.attributes['state']}" for message in arrived] == [
        "reconcile open",
        "refresh open",
        "refresh recovered",
    ]
    assert first in arrived[1].text
    assert [ended.job for ended in watcher.watch.seen] == ["reconcile", "refresh", "refresh"]
