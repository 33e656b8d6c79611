"""Workers on machines of their own, over a network that fails."""

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from totes_dagster.pipeline import refresh
from totes_dagster_tests.system.cluster.faulty import Fault
from totes_dagster_tests.system.cluster.hosts import Hosts, eventually, hosts_of
from totes_dagster_tests.system.cluster.network import LEADER, Machine, network
from totes_dagster_tests.world import World

pytestmark = pytest.mark.slow


@pytest.fixture
def machines() -> Iterator[list[Machine]]:
    with network("carrier", "packer") as machines:
        yield machines


@pytest.fixture
def hosts(world: World, machines: list[Machine], tmp_path: Path) -> Iterator[Hosts]:
    """A scheduler on this machine, which the others reach."""
    with hosts_of(world.platform, tmp_path) as hosts:
        hosts.host = LEADER
        hosts.start_scheduler()
        yield hosts


def test_two_machines_share_the_work(
    world: World, hosts: Hosts, machines: list[Machine], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="totes_dagster.cluster")
    for machine in machines:
        hosts.start_workers(None, *machine.prefix)
    leading = hosts.leading()
    refresh(leading)
    assert not world.wrongs()
    assert leading.cluster
    assert {host for done in leading.cluster.spread for host in done.hosts} == {"carrier", "packer"}
    assert all(done.here == 0 for done in leading.cluster.spread)
    assert "were done by workers on 2 machines." in caplog.text


@pytest.mark.parametrize("point", ["read", "copied"])
def test_what_an_unplugged_machine_was_doing_is_done_by_another(
    world: World, hosts: Hosts, machines: list[Machine], point: str, tmp_path: Path
) -> None:
    unplugged, other = machines
    fault = Fault(point, "wait", str(tmp_path / "happened"))
    hosts.start_workers(fault.environment(), *unplugged.prefix)
    hosts.start_workers(None, *other.prefix)
    leading = replace(hosts.leading())
    with ThreadPoolExecutor(1) as pool:
        refreshed = pool.submit(refresh, leading)
        eventually(lambda: fault.happened_to() is not None, "a worker to be at work")
        unplugged.unplug()
        refreshed.result()
    assert not world.wrongs()
    unplugged.plug()
    fault.go_on()
    # What it was doing may still arrive; nobody waits for it.
    eventually(lambda: not hosts.programs["worker-1"].is_running(), "the worker to end")
    assert not world.wrongs()
    assert leading.cluster
    assert all(done.here == 0 for done in leading.cluster.spread)
