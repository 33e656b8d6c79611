"""Repairing the differences that a comparison found: by a new batch or, where no batch can, in the warehouse itself."""

import logging
from collections.abc import Mapping

from totes_dagster.config.platform import Warehouse
from totes_dagster.reconcile.differences import TableDifferences
from totes_dagster.schema.registry import CALENDAR, FACTS, inputs_of
from totes_dagster.warehouse.batch_load import restore_calendar
from totes_dagster.warehouse.load_transaction import LoadTransaction

logger = logging.getLogger(__name__)


def repairs_of(found: Mapping[str, TableDifferences]) -> dict[str, tuple[int, ...]]:
    """The keys of the rows that a batch must bring to repair what was found, by source table.

    Args:
        found: the differences by star table.
    """
    repairs: dict[str, tuple[int, ...]] = {}
    for star, differences in found.items():
        if star == CALENDAR.name or not differences.repairable:
            continue
        for name in inputs_of(star):
            repairs[name] = tuple(sorted({*repairs.get(name, ()), *differences.repairable}))
    return repairs


def repair_history(warehouse: Warehouse, found: Mapping[str, TableDifferences]) -> None:
    """Repair what no batch can: versions that repeat the one before, and the calendar.

    Args:
        warehouse: the warehouse.
        found: the differences by star table.

    Raises:
        DatabaseError: the warehouse cannot be reached, refuses, or closes the connection.
    """
    if not any(found.values()):
        return
    repeated = {name: found[name].repeated for name in FACTS if found[name].repeated}
    with (
        warehouse.database.connect() as connection,
        LoadTransaction.begin(connection, warehouse) as transaction,
    ):
        for name, keys in repeated.items():
            removed = transaction.remove_repeated_versions(FACTS[name], keys)
            logger.info("Removed %d versions of %s that repeated the one before.", removed, name)
        if found[CALENDAR.name]:
            restore_calendar(transaction)
        transaction.forget_totals()
        transaction.commit()
