"""The platform's work in a process of its own: prints the seconds and CPU seconds that each stage took, as JSON.

    python -m benchmarks.work first-load
    python -m benchmarks.work refreshes 10

The environment names the platform.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg

from benchmarks.measuring import peak_of_this_process
from totes_dagster import pipeline
from totes_dagster.config.platform import Platform, platform_from_environment

T = TypeVar("T")

CHANGE = "update sales_order set units_sold = units_sold %% 1000 + 1 where sales_order_id between %s and %s"
MARK = "update staff set last_name = %s where staff_id = (select min(staff_id) from staff)"
DELETION = "delete from payment where payment_id = %s"


def timed(stages: dict[str, Any], name: str, work: Callable[[], T]) -> T:
    """Do some work, and note what it took and the most memory that the process has had until then."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    stages[name] = {
        "seconds": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "peak": peak_of_this_process(),
    }
    return result


def first_load(platform: Platform) -> dict[str, Any]:
    """A first load as `totes refresh` does it: what can be done at the same time is."""
    stages: dict[str, Any] = {}
    timed(stages, "refresh", lambda: pipeline.refresh(platform))
    return stages


def first_stages(platform: Platform) -> dict[str, Any]:
    """The stages of a first load, one after the other, as Dagster runs them."""
    stages: dict[str, Any] = {}
    timed(stages, "ingest", lambda: pipeline.ingest(platform.source, platform.lake.ingestion))
    timed(stages, "remodel", lambda: pipeline.remodel_all(platform.lake))
    timed(stages, "load", lambda: pipeline.load(platform.warehouse, platform.lake))
    return stages


def refreshes(platform: Platform, times: int) -> dict[str, Any]:
    """Refreshes of ten rows, of one of a small table, of one deletion, and with nothing to do; in a warm process."""
    kinds = ("ten rows", "one member of staff", "one deletion", "nothing")
    seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
    with psycopg.connect(platform.source.url, autocommit=True) as company:
        pipeline.refresh(platform)
        ((newest,),) = company.execute("select max(payment_id) from payment").fetchall()
        for number in range(times):
            company.execute(CHANGE, [10 * number + 1, 10 * number + 10])
            seconds["ten rows"].append(_seconds(platform))
            company.execute(MARK, [f"Number {number}"])
            seconds["one member of staff"].append(_seconds(platform))
            company.execute(DELETION, [newest - number])
            seconds["one deletion"].append(_seconds(platform))
            seconds["nothing"].append(_seconds(platform))
    return dict(seconds)


def batches(platform: Platform, times: int) -> dict[str, Any]:
    """Many small batches, ingested and remodelled but not loaded."""
    with psycopg.connect(platform.source.url, autocommit=True) as company:
        for number in range(times):
            start = 10 * number % 10_000
            company.execute(CHANGE, [start + 1, start + 10])
            pipeline.ingest(platform.source, platform.lake.ingestion)
            for star in ("fact_sales_order", "dim_date"):
                pipeline.remodel(star, platform.lake)
    return {}


def _seconds(platform: Platform) -> float:
    started = time.perf_counter()
    pipeline.refresh(platform)
    return time.perf_counter() - started


WORK: dict[str, Callable[..., dict[str, Any]]] = {
    "first-load": first_load,
    "first-stages": first_stages,
    "refreshes": refreshes,
    "batches": batches,
}


def main() -> None:
    """Do the work that the command line names."""
    name, *numbers = sys.argv[1:]
    sys.stdout.write(json.dumps(WORK[name](platform_from_environment(), *map(int, numbers))))


if __name__ == "__main__":
    main()
