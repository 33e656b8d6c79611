"""The two databases as Dagster resources."""

from dagster import ConfigurableResource
from pydantic import Field

from totes_dagster.config.platform import source_database, warehouse_database
from totes_dagster.postgres.database import Database

_URL = Field(default="", description="libpq URI; empty to use the secret or, without one, the embedded stack.")
_SECRET = Field(default="", description="Id of a secret in AWS Secrets Manager; empty to use the URL.")


class Totesys(ConfigurableResource):  # type: ignore[type-arg]
    """The source, read through one exported snapshot per batch."""

    url: str = _URL
    secret_id: str = _SECRET

    def database(self, *, found: bool = True) -> Database:
        """The database to connect to.

        Args:
            found: whether to make the embedded stack where it is meant and there is none.

        Raises:
            SettingsError: the secret cannot be read.
            NothingHereError: there is no embedded stack, and none was to be made.
        """
        return source_database(self.url, self.secret_id, found=found)


class Warehouse(ConfigurableResource):  # type: ignore[type-arg]
    """The warehouse, written to in one transaction per batch."""

    url: str = _URL
    secret_id: str = _SECRET
    warehouse_schema: str = Field(default="public", description="The schema that holds the warehouse's tables.")

    def database(self) -> Database:
        """The database to connect to.

        Raises:
            SettingsError: the secret cannot be read.
        """
        return warehouse_database(self.url, self.secret_id)
