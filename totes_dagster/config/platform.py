"""The platform as configured: its source, its lake and its warehouse."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from totes_dagster.aws.secrets import url_from_secret
from totes_dagster.config import settings
from totes_dagster.lake.zone import Lake, Zone
from totes_dagster.postgres.database import Database

if TYPE_CHECKING:
    from totes_dagster.local.stack import LocalStack


@dataclass(frozen=True)
class Warehouse:
    """The warehouse: a database, and the schema in it that holds the warehouse's tables."""

    database: Database
    schema: str = settings.DEFAULT_SCHEMA


@dataclass(frozen=True)
class Platform:
    """What the stages work on.

    Attributes:
        source: totesys, only ever read.
        lake: its two zones.
        warehouse: where the batches are loaded.
        embedded: whether all of it is the embedded stack.
    """

    source: Database
    lake: Lake
    warehouse: Warehouse
    embedded: bool = False


def source_database(url: str = "", secret_id: str = "", *, create: bool = True) -> Database:
    """The source under a URL, as a secret describes it or, with neither, the embedded stack's.

    Args:
        url: libpq URI.
        secret_id: a secret in AWS Secrets Manager.
        create: whether to create the embedded stack, with a small company, where it is meant and there is none.

    Raises:
        SettingsError: the secret cannot be read.
        NothingHereError: there is no embedded stack, and none was to be created.
    """
    return _database("totesys", url, secret_id, create=create)


def warehouse_database(url: str = "", secret_id: str = "", *, create: bool = True) -> Database:
    """The warehouse's database under a URL, as a secret describes it or, with neither, the embedded stack's.

    Arguments and errors are those of `source_database`.
    """
    return _database("warehouse", url, secret_id, create=create)


@lru_cache(maxsize=8)
def lake_zone(zone: str, url: str = "") -> Zone:
    """A zone of the lake under a URL or, without one, the embedded stack's."""
    if url:
        return Zone(url)
    return Zone(_embedded_stack(create=True).lake_url(zone))


def platform_from_environment(environment: Mapping[str, str] = os.environ, *, create: bool = False) -> Platform:
    """The platform that the environment names; the embedded stack, started if need be, where it names none.

    Args:
        environment: the settings.
        create: whether to create the embedded stack, with a small company, where there is none. Without it nothing is
            created, neither here nor by reading from what is returned.

    Raises:
        SettingsError: see `settings.is_configured`.
        NothingHereError: the environment names nothing, and there is no embedded stack.
    """
    named = _read(environment)
    if settings.is_configured(environment):
        return Platform(
            source_database(named.totesys_url, named.totesys_secret_id),
            Lake(lake_zone("ingestion", named.ingestion_lake), lake_zone("processed", named.processed_lake)),
            warehouse_from_environment(environment),
        )
    stack = _embedded_stack(create=create)
    return Platform(
        Database("totesys", stack.database_url("totesys")),
        Lake(Zone(stack.lake_url("ingestion")), Zone(stack.lake_url("processed"))),
        Warehouse(Database("warehouse", stack.database_url("warehouse")), _schema(named)),
        embedded=True,
    )


def source_from_environment(environment: Mapping[str, str] = os.environ) -> Database:
    """The source that the environment names, or the embedded stack's.

    Raises:
        SettingsError: see `settings.is_configured`; or the secret cannot be read.
    """
    settings.is_configured(environment)
    named = _read(environment)
    return source_database(named.totesys_url, named.totesys_secret_id)


def warehouse_from_environment(environment: Mapping[str, str] = os.environ) -> Warehouse:
    """The warehouse that the environment names, or the embedded stack's.

    Raises:
        SettingsError: the secret cannot be read.
    """
    named = _read(environment)
    return Warehouse(warehouse_database(named.warehouse_url, named.warehouse_secret_id), _schema(named))


def _read(environment: Mapping[str, str]) -> settings.PlatformSettings[str]:
    return settings.PlatformSettings.read(lambda variable: environment.get(variable) or "")


def _schema(named: settings.PlatformSettings[str]) -> str:
    return named.warehouse_schema or settings.DEFAULT_SCHEMA


def _database(name: str, url: str, secret_id: str, *, create: bool) -> Database:
    if url:
        return Database(name, url)
    if secret_id:
        return Database(name, url_from_secret(secret_id))
    return Database(name, _embedded_stack(create=create).database_url(name))


def _embedded_stack(*, create: bool) -> "LocalStack":
    from totes_dagster.local.stack import existing_stack, local_stack  # noqa: PLC0415 - imports a lot

    return local_stack() if create else existing_stack()
