"""What Dagster has recorded of the warehouse's tables, and materializations of them that no step has as its output.

Freshness is judged by materializations. But a refresh requests only the tables that a change affects, and while nothing
changes there is none. So the other tables are confirmed: a materialization says that the warehouse is current, with the
same data version as before.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from dagster import AssetKey, AssetMaterialization, DagsterInstance

from totes_dagster.orchestration.metadata import as_of
from totes_dagster.orchestration.specs import DATA_VERSION_TAG, key_of_loaded, key_of_processed
from totes_dagster.schema.registry import STAR_TABLES
from totes_dagster.warehouse.queries import NewestLoad

CONFIRM_AFTER = timedelta(minutes=10)
"""A table is confirmed when its last materialization is this old: often enough for `FRESHNESS`."""


@dataclass(frozen=True)
class Recorded:
    """The last materialization of a table of the warehouse.

    Attributes:
        at: when it was.
        batch: the newest batch that the warehouse had loaded; None if unknown.
        version: the batch that last changed the table up to then; 0 if none did.
        rows: how many rows the table had; None if unknown.
    """

    at: datetime
    batch: int | None = None
    version: int = 0
    rows: int | None = None


NEVER = Recorded(datetime.fromtimestamp(0, UTC))


def recorded_loads(instance: DagsterInstance) -> dict[str, Recorded]:
    """The last materialization of each table of the warehouse; `NEVER` where there is none."""
    found = dict.fromkeys(STAR_TABLES, NEVER)
    for star, moment, materialization in _last_materializations(instance, key_of_loaded):
        at, version = datetime.fromtimestamp(moment, UTC), _version_of(materialization)
        values = {name: value.value for name, value in materialization.metadata.items()}
        found[star] = (
            Recorded(at)
            if version is None
            else Recorded(at, _number(values.get("batch")), version, _number(values.get("dagster/row_count")))
        )
    return found


def recorded_versions(instance: DagsterInstance, key_of: Callable[[str], AssetKey]) -> dict[str, int]:
    """The data version of the last materialization of each star table at a stage; 0 where there is none.

    Args:
        instance: the instance of Dagster.
        key_of: the key of a star table at that stage.
    """
    last = {star: _version_of(each) or 0 for star, _, each in _last_materializations(instance, key_of)}
    return {star: last.get(star, 0) for star in STAR_TABLES}


def remodelled_by_load(star: str, version: int) -> AssetMaterialization:
    """A materialization that says that a load has remodelled what a batch brought to a star table."""
    return AssetMaterialization(
        key_of_processed(star),
        description="Remodelled by the load: the run had not selected it.",
        metadata={"batch": version},
        tags={DATA_VERSION_TAG: str(version)},
    )


def due(recorded: Mapping[str, Recorded], now: datetime) -> list[str]:
    """The tables that are to be confirmed."""
    return [star for star, each in recorded.items() if now - each.at >= CONFIRM_AFTER]


def known_until(recorded: Mapping[str, Recorded]) -> int:
    """The newest batch up to which Dagster knows what changed every table; 0 if it does not know that of each."""
    return min(each.batch or 0 for each in recorded.values())


def versions_of(recorded: Mapping[str, Recorded], changed: Mapping[str, int]) -> dict[str, int]:
    """The batch that last changed each table.

    Args:
        recorded: the last materialization of each table.
        changed: the batch that last changed each table that changed after `known_until`.
    """
    return {star: changed.get(star, each.version) for star, each in recorded.items()}


def confirmations(
    stars: Iterable[str], newest: NewestLoad, versions: Mapping[str, int], rows: Mapping[str, int | None]
) -> list[AssetMaterialization]:
    """Materializations that say that tables are current.

    Args:
        stars: the tables.
        newest: the newest batch that the warehouse has loaded.
        versions: the batch that last changed each table.
        rows: how many rows each table has, as far as that is known.
    """
    return [
        AssetMaterialization(
            key_of_loaded(star),
            description="Confirmed: the warehouse is current.",
            metadata=_state(newest, rows.get(star)),
            tags={DATA_VERSION_TAG: str(versions[star])},
        )
        for star in stars
    ]


def _state(newest: NewestLoad, rows: int | None) -> dict[str, Any]:
    return {
        **({} if rows is None else {"dagster/row_count": rows}),
        "batch": newest.batch,
        **(as_of(newest.snapshot_at) if newest.snapshot_at else {}),
    }


def _last_materializations(
    instance: DagsterInstance, key_of: Callable[[str], AssetKey]
) -> Iterator[tuple[str, float, AssetMaterialization]]:
    """The last materialization of each star table at a stage, with its time."""
    keys = {key_of(star): star for star in STAR_TABLES}
    for record in instance.get_asset_records(list(keys)):
        entry = record.asset_entry.last_materialization
        if entry and entry.asset_materialization:
            yield keys[record.asset_entry.asset_key], entry.timestamp, entry.asset_materialization


def _version_of(materialization: AssetMaterialization) -> int | None:
    """The data version that the platform gave a materialization; None if somebody else or an older version did."""
    version = (materialization.tags or {}).get(DATA_VERSION_TAG, "")
    return int(version) if version.isdecimal() else None


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None
