"""Repairing what a comparison found: by a batch, except for two things that are repaired in the warehouse itself."""

import logging
from collections.abc import Mapping

from totes_dagster.config.platform import Warehouse
from totes_dagster.reconcile.differences import TableDifferences
from totes_dagster.schema.registry import CALENDAR, FACTS, inputs_of
from totes_dagster.warehouse.load import restore_calendar
from totes_dagster.warehouse.load_transaction import LoadTransaction

logger = logging.getLogger(__name__)


def repairs_of(found: Mapping[str, TableDifferences]) -> dict[str, tuple[int, ...]]:
    """The keys whose rows a batch must bring to repair what was found, by source table.

    A table that values are only looked up in is brought whole.
    """
    repairs: dict[str, tuple[int, ...]] = {}
    for star, differences in found.items():
        if star == CALENDAR.name or not differences.repairable:
            continue
        for name in inputs_of(star):
            repairs[name] = tuple(sorted({*repairs.get(name, ()), *differences.repairable}))
    return repairs


def repair_history(warehouse: Warehouse, found: Mapping[str, TableDifferences]) -> None:
    """Repair what no batch can: versions that repeat the one before, and the calendar."""
    doubled = {name: found[name].doubled for name in FACTS if found[name].doubled}
    if not doubled and not found[CALENDAR.name]:
        return
    with (
        warehouse.database.connect_bulk() as connection,
        LoadTransaction.begin(connection, warehouse) as transaction,
    ):
        for name, keys in doubled.items():
            removed = transaction.remove_repeated_versions(FACTS[name], keys)
            logger.info("Removed %d versions of %s that repeated the one before.", removed, name)
        if found[CALENDAR.name]:
            restore_calendar(transaction)
        transaction.commit()
