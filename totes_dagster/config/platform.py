"""The platform as configured: its two databases and the two zones of its lake."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from totes_dagster.config import settings
from totes_dagster.lake.store import Lake
from totes_dagster.postgres.database import Database


@dataclass(frozen=True)
class Platform:
    """What every stage works on.

    Attributes:
        source: totesys, only ever read.
        warehouse: the warehouse's database.
        schema: the warehouse's schema in it.
        ingestion: the zone of batches.
        processed: the zone of star-schema parts.
        embedded: whether all of it is the embedded stack.
    """

    source: Database
    warehouse: Database
    schema: str
    ingestion: Lake
    processed: Lake
    embedded: bool = False


def source_database(url: str | None = None, secret_id: str | None = None, *, found: bool = True) -> Database:
    """The source under a URL, as a secret describes it or, with neither, the embedded stack's.

    Args:
        url: libpq URI.
        secret_id: a secret in AWS Secrets Manager.
        found: whether to make the embedded stack, with a small company, where there is none.

    Raises:
        SettingsError: the secret cannot be read.
        NothingHereError: there is no embedded stack, and none was to be made.
    """
    return _database("totesys", url, secret_id, found=found)


def warehouse_database(url: str | None = None, secret_id: str | None = None, *, found: bool = True) -> Database:
    """The warehouse under a URL, as a secret describes it or, with neither, the embedded stack's.

    Arguments and errors are those of `source_database`.
    """
    return _database("warehouse", url, secret_id, found=found)


@lru_cache(maxsize=8)
def lake_zone(zone: str, url: str = "") -> Lake:
    """A zone of the lake under a URL or, without one, the embedded stack's."""
    if url:
        return Lake(url)
    from totes_dagster.local.stack import local_stack  # noqa: PLC0415 - starts nothing, but imports a lot

    return Lake(local_stack().lake_url(zone))


def platform_from_environment(environment: Mapping[str, str] = os.environ, *, found: bool = False) -> Platform:
    """The platform that the environment names; the embedded stack, started if need be, where it names none.

    Args:
        environment: the settings.
        found: whether to make the embedded stack, with a small company, where there is none. Without it nothing is
            made, neither here nor by reading from what is returned.

    Raises:
        SettingsError: see `settings.is_configured`.
        NothingHereError: the environment names nothing, and there is no embedded stack.
    """
    schema = environment.get(settings.WAREHOUSE_SCHEMA) or "public"
    if settings.is_configured(environment):
        return Platform(
            source=source_database(environment.get(settings.TOTESYS_URL), environment.get(settings.TOTESYS_SECRET_ID)),
            warehouse=warehouse_database(
                environment.get(settings.WAREHOUSE_URL), environment.get(settings.WAREHOUSE_SECRET_ID)
            ),
            schema=schema,
            ingestion=lake_zone("ingestion", environment[settings.INGESTION_LAKE]),
            processed=lake_zone("processed", environment[settings.PROCESSED_LAKE]),
        )
    from totes_dagster.local.stack import existing_stack, local_stack  # noqa: PLC0415 - imports a lot

    stack = local_stack() if found else existing_stack()
    return Platform(
        source=Database("totesys", stack.database_url("totesys")),
        warehouse=Database("warehouse", stack.database_url("warehouse")),
        schema=schema,
        ingestion=Lake(stack.lake_url("ingestion")),
        processed=Lake(stack.lake_url("processed")),
        embedded=True,
    )


def _database(name: str, url: str | None, secret_id: str | None, *, found: bool) -> Database:
    if url:
        return Database(name, url)
    if secret_id:
        return Database(name, settings.url_from_secret(secret_id))
    from totes_dagster.local.stack import existing_stack, local_stack  # noqa: PLC0415

    stack = local_stack() if found else existing_stack()
    return Database(name, stack.database_url(name))
