"""The warehouse's tables as a Dagster IO manager, which only reads."""

from typing import Any

from dagster import ConfigurableIOManager, InputContext, OutputContext, ResourceDependency

from totes_dagster.config.platform import Warehouse
from totes_dagster.orchestration.io_managers.inputs import load_rows, refuse_output
from totes_dagster.orchestration.resources.databases import WarehouseResource
from totes_dagster.reading.warehouse import loaded_rows


class WarehouseIOManager(ConfigurableIOManager):
    """The warehouse's tables: inputs are loaded from them.

    The load writes to them, a batch at a time, in one transaction over all tables; its assets hand no value over.
    """

    warehouse: ResourceDependency[WarehouseResource]

    def handle_output(self, context: OutputContext, obj: Any) -> None:  # noqa: ARG002 - whatever it is
        """Refuse it: see the class."""
        raise refuse_output("the tables of the warehouse")

    def load_input(self, context: InputContext) -> Any:
        """The rows of a star table, of a fact the current versions; see `load_rows`.

        An input of type `Warehouse` is the warehouse itself: its database and schema.
        """
        if context.dagster_type.typing_type is Warehouse:
            return self.warehouse.warehouse()
        return load_rows(context, lambda star, selection: loaded_rows(star, self.warehouse.warehouse(), selection))
