"""A company that is large enough to be shared, because shares are small here."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from totes_dagster.ingest import extraction
from totes_dagster.reconcile import spreading
from totes_dagster_tests.companies import Companies, Company
from totes_dagster_tests.system.cluster.hosts import Hosts, hosts_of
from totes_dagster_tests.world import World

ORDERS = 1500


@pytest.fixture(autouse=True)
def small_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have tables of a few thousand rows be divided as those of millions are."""
    make_shares_small(monkeypatch)


def make_shares_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have tables of a few thousand rows be divided as those of millions are."""
    monkeypatch.setattr(extraction, "ROWS_PER_SHARE", 250)
    monkeypatch.setattr(spreading, "KEYS_AT_ONCE", 2**14)
    monkeypatch.setattr(spreading, "MANY_PIECES", 1)


@pytest.fixture
def world(companies: Companies) -> World:
    """A company with some thousand rows; nothing was refreshed yet."""
    return World(companies.unseen(Company(orders=ORDERS)))


@pytest.fixture
def hosts(world: World, tmp_path: Path) -> Iterator[Hosts]:
    """A cluster for that company, with a scheduler and no worker yet."""
    with hosts_of(world.platform, tmp_path) as hosts:
        hosts.start_scheduler()
        yield hosts
