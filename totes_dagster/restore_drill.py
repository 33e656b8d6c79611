"""Tries a restored copy of the warehouse: whether the lake brings it up to date, and whether it can be built anew.

Restoring the copy is AWS's part; see `deploy/restore_drill.sh`.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from totes_dagster import pipeline
from totes_dagster.config.platform import Platform, Warehouse
from totes_dagster.errors import SettingsError
from totes_dagster.postgres.database import Database
from totes_dagster.runtime.progress import Progress, silent
from totes_dagster.warehouse.fingerprints import fingerprints
from totes_dagster.warehouse.status import loaded_batch

T = TypeVar("T")


@dataclass(frozen=True)
class Drilled:
    """What a drill found.

    Attributes:
        restored: the newest batch that the copy had loaded.
        newest: the newest batch that it has loaded now.
        rows: the number of rows of each star table now.
        differing: the star tables that hold other rows once they are rebuilt.
        catch_up_seconds: how long it took to load the batches that the copy lacked.
        rebuild_seconds: how long it took to load all batches again.
    """

    restored: int
    newest: int
    rows: dict[str, int]
    differing: list[str]
    catch_up_seconds: float
    rebuild_seconds: float


def copy_on(platform: Platform, host: str) -> Platform:
    """The platform with a copy of its warehouse instead, which another server has under the same login.

    Raises:
        SettingsError: the server is that of the warehouse itself.
    """
    url = platform.warehouse.database.url
    if host == conninfo_to_dict(url).get("host"):
        raise SettingsError(f"{host} is the server of the warehouse itself. Name that of the copy.")
    database = Database(platform.warehouse.database.name, make_conninfo(url, host=host))
    # Without workers, which would stage rows at the warehouse that their own settings name.
    return replace(platform, warehouse=Warehouse(database, platform.warehouse.schema), cluster=None)


def drill(platform: Platform, progress: Progress = silent) -> Drilled:
    """Load what the warehouse lacks from the lake, rebuild it from there, and compare the two. The source is not read.

    Batches that are committed meanwhile are left alone.

    Args:
        platform: whose warehouse is a copy; see `copy_on`.
        progress: called as rows move.

    Raises:
        TotesError: see `pipeline.load` and `pipeline.rebuild`.
    """
    restored = loaded_batch(platform.warehouse)
    _, catch_up_seconds = _timed(lambda: pipeline.load(platform.warehouse, platform.lake, progress, platform.cluster))
    caught_up, newest = fingerprints(platform.warehouse), loaded_batch(platform.warehouse)
    _, rebuild_seconds = _timed(lambda: pipeline.rebuild(platform, up_to=newest, progress=progress))
    rebuilt = fingerprints(platform.warehouse)
    return Drilled(
        restored,
        newest,
        rows={star: found.rows for star, found in rebuilt.items()},
        differing=[star for star, found in rebuilt.items() if found != caught_up[star]],
        catch_up_seconds=catch_up_seconds,
        rebuild_seconds=rebuild_seconds,
    )


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    """What some work returns, and how many seconds it took."""
    started = time.perf_counter()
    done = work()
    return done, time.perf_counter() - started
