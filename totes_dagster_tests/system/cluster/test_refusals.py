"""Workers that must not do the work, and schedulers that cannot be used: the process that leads does everything."""

import logging
import pickle
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from totes_dagster.cluster import code
from totes_dagster.cluster.credentials import new_credentials
from totes_dagster.cluster.spreading import Cluster
from totes_dagster.cluster.work import perform
from totes_dagster.pipeline import refresh
from totes_dagster_tests.companies import Companies, Company
from totes_dagster_tests.system.cluster.hosts import Hosts
from totes_dagster_tests.world import World


@pytest.fixture(autouse=True)
def heard(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="totes_dagster.cluster")


@pytest.mark.slow
def test_without_a_scheduler_this_process_does_everything(
    world: World, hosts: Hosts, caplog: pytest.LogCaptureFixture
) -> None:
    hosts.stop()
    refresh(hosts.leading())
    assert not world.wrongs()
    assert f"The cluster tls://127.0.0.1:{hosts.port} cannot be reached: " in caplog.text
    assert "were done by workers on 0 machines" in caplog.text


def test_without_workers_this_process_does_everything(
    world: World, hosts: Hosts, caplog: pytest.LogCaptureFixture
) -> None:
    refresh(hosts.leading())
    assert not world.wrongs()
    assert "has no worker with this version of the platform." in caplog.text


@pytest.mark.slow
def test_a_worker_with_another_version_of_the_platform_is_given_nothing(
    world: World, hosts: Hosts, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = tmp_path / "other" / "totes_dagster"
    shutil.copytree(code.PACKAGE, other, ignore=shutil.ignore_patterns("__pycache__"))
    with (other / "errors.py").open("a") as module:
        module.write("\n# Another version.\n")
    program = hosts.start_other_worker({"PYTHONPATH": str(other.parent), "PYTHONSAFEPATH": "1"})
    refresh(hosts.leading())
    assert not world.wrongs()
    assert "has no worker with this version of the platform." in caplog.text
    assert program.is_running()
    # Nor would it do work that came to it all the same.
    answer = perform("another digest", len, (), "")
    assert "another version" in str(answer.error)


@pytest.mark.slow
@pytest.mark.parametrize("credentials", ["others", "none"])
def test_a_stranger_is_not_connected_to(
    world: World, hosts: Hosts, credentials: str, caplog: pytest.LogCaptureFixture
) -> None:
    hosts.start_workers()
    strangers = new_credentials()
    address = f"tls://{hosts.host}:{hosts.port}"
    if credentials == "none":
        address = address.replace("tls", "tcp")
    cluster = Cluster(address, lambda: strangers)
    refresh(replace(world.platform, cluster=cluster))
    assert not world.wrongs()
    assert f"The cluster {address} cannot be reached: " in caplog.text
    assert all(done.here == done.pieces for done in cluster.spread)


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("TOTES_INGESTION_LAKE", "Its settings name the lake file:///another/lake, not "),
        pytest.param("WAREHOUSE_URL", "it is another, or the load is over", marks=pytest.mark.slow),
        pytest.param(
            "TOTESYS_URL", "TOTESYS_URL leads to another server there, or to another database.", marks=pytest.mark.slow
        ),
    ],
)
def test_a_worker_with_other_settings_does_nothing(
    world: World, hosts: Hosts, companies: Companies, variable: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    other = "file:///another/lake" if "LAKE" in variable else companies.source(Company(orders=0))
    hosts.start_workers({variable: other})
    refresh(hosts.leading())
    assert not world.wrongs()
    assert said in caplog.text


def test_tasks_are_names_and_no_secrets(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    works: list[tuple[object, object]] = []

    class Listening(Cluster):
        """Notes what workers would be told, and has everything done here."""

        def each(self, what, works_of, *, task, here):  # type: ignore[no-untyped-def]
            works.extend((task, work) for work in works_of)
            yield from ((work, here(work)) for work in works_of)

    refresh(replace(world.platform, cluster=Listening("tls://nowhere:1", new_credentials)))
    assert {type(work).__name__ for _, work in works} == {"Extraction", "Staging"}
    for task, work in works:
        told = pickle.dumps((perform, code.code_digest(), task, work))
        assert len(told) < 4_000
        assert b"postgresql://" not in told
        assert b"host=" not in told
    assert not world.wrongs()


@pytest.fixture
def another_schema(companies: Companies) -> Iterator[World]:
    yield World(companies.unseen(Company(orders=1500, schema="Ware House")))


@pytest.mark.slow
def test_tables_are_staged_in_a_schema_of_any_name(another_schema: World) -> None:
    cluster = Cluster("tls://127.0.0.1:1", new_credentials)
    refresh(replace(another_schema.platform, cluster=cluster))
    assert not another_schema.wrongs()
    assert {done.what for done in cluster.spread} >= {"parts to stage"}
