"""The two databases as Dagster resources."""

from dagster import ConfigurableResource
from pydantic import Field

from totes_dagster.config.platform import Warehouse, source_database, warehouse_database
from totes_dagster.config.settings import DEFAULT_SCHEMA, takes_log
from totes_dagster.postgres.database import Database

_URL = Field(default="", description="libpq URI; empty to use the secret or, without one, the embedded stack.")
_SECRET = Field(default="", description="Id of a secret in AWS Secrets Manager; empty to use the URL.")


class TotesysResource(ConfigurableResource):  # type: ignore[type-arg]
    """The source, read through one exported snapshot per batch."""

    url: str = _URL
    secret_id: str = _SECRET
    capture: str = Field(
        default="",
        description="How changes are found: `census`, the default, or `log`, which needs rights in the source.",
    )

    @property
    def from_log(self) -> bool:
        """Whether changes are taken from the source's write-ahead log, where that is possible.

        Raises:
            SettingsError: see `takes_log`.
        """
        return takes_log(self.capture)

    def database(self, *, create: bool = True) -> Database:
        """The database to connect to.

        Args:
            create: whether to create the embedded stack if it is to be used and does not exist.

        Raises:
            SettingsError: the secret cannot be read.
            NothingHereError: the embedded stack does not exist, and `create` is false.
        """
        return source_database(self.url, self.secret_id, create=create)


class WarehouseResource(ConfigurableResource):  # type: ignore[type-arg]
    """The warehouse, written to in one transaction per batch."""

    url: str = _URL
    secret_id: str = _SECRET
    warehouse_schema: str = Field(default=DEFAULT_SCHEMA, description="The schema that holds the warehouse's tables.")

    def warehouse(self) -> Warehouse:
        """The database to connect to, and the schema in it.

        Raises:
            SettingsError: the secret cannot be read.
        """
        return Warehouse(warehouse_database(self.url, self.secret_id), self.warehouse_schema)
