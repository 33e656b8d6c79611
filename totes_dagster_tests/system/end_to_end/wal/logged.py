"""What the tests of the log do to a company, and ask of its platform."""

from dataclasses import replace

import psycopg
import pytest

from totes_dagster.lake.batch_log import BatchLog
from totes_dagster.lake.manifest import Manifest
from totes_dagster_tests.world import World

EDIT = "update sales_order set units_sold = units_sold + 1 where sales_order_id = 1"
DELETE = "delete from payment where payment_id = 2"


def newest(world: World) -> Manifest:
    log = BatchLog(world.platform.lake.ingestion)
    return log.manifest(log.head())


def is_from_log(world: World) -> bool:
    """Whether the newest batch was taken from the log."""
    manifest = newest(world)
    return manifest.counted is not None


def versions(world: World) -> int:
    return len(world.versions("fact_sales_order", 1))


def slots(world: World) -> list[str]:
    with psycopg.connect(world.source_url) as connection:
        return [name for (name,) in connection.execute("select slot_name from pg_replication_slots")]


def counting(world: World) -> World:
    """The same platform, without the log."""
    return World(replace(world.platform, from_log=False))


def take_by_counting(world: World) -> None:
    """Refresh without the log, and without further tries."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TOTES_RETRY_SECONDS", "0")
        counting(world).refresh()
