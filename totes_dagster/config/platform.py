"""The platform as configured: its source, its lake and its warehouse.

How each setting is read and checked belongs to `settings`; the work itself, to `pipeline`.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from totes_dagster.aws.secrets import url_from_secret
from totes_dagster.cluster.credentials import (
    Credentials,
    credentials_in,
    credentials_of_secret,
    new_credentials,
    write_credentials,
)
from totes_dagster.cluster.scaling import WorkersService
from totes_dagster.cluster.spreading import Cluster
from totes_dagster.config import settings
from totes_dagster.errors import ClusterError, SettingsError
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
        source: totesys, which the platform only reads.
        lake: its two zones.
        warehouse: where the batches are loaded.
        landing: where the files of feeds are dropped; None if there are no feeds.
        embedded: whether all of them are the embedded stack's.
        from_log: whether changes are taken from the source's write-ahead log, where that is possible.
        cluster: whose workers take a share of large batches; None if this process does everything.
    """

    source: Database
    lake: Lake
    warehouse: Warehouse
    landing: Zone | None = None
    embedded: bool = False
    from_log: bool = False
    cluster: Cluster | None = None


def cluster_credentials(
    environment: Mapping[str, str] = os.environ, *, create: bool = False
) -> tuple[Credentials, Path]:
    """The credentials of a cluster that the environment names, and the folder that has them or would.

    Args:
        environment: the settings.
        create: whether to make new ones, in the embedded stack's folder, if the settings name none.

    Raises:
        SettingsError: the settings name none, or these cannot be read.
    """
    from totes_dagster.local.stack import stack_home  # noqa: PLC0415 - imports a lot

    configured = _read(environment)
    own = stack_home() / "cluster"
    if configured.workers_secret_id:
        return credentials_of_secret(configured.workers_secret_id), own
    if configured.workers_credentials:
        return credentials_in(Path(configured.workers_credentials)), Path(configured.workers_credentials)
    if not create:
        raise SettingsError(
            f"Set {settings.WORKERS_CREDENTIALS} or {settings.WORKERS_SECRET_ID}: the processes of a cluster "
            "must prove that they belong to it."
        )
    if not own.exists():
        write_credentials(new_credentials(), own)
    return credentials_in(own), own


def cluster_at(
    address: str,
    credentials: str = "",
    secret_id: str = "",  # a name  # nosec B107
    service: str = "",
) -> Cluster | None:
    """The cluster of these settings; None without an address.

    Args:
        address: `tls://host:port` of its scheduler.
        credentials: folder with its certificate and key.
        secret_id: name or ARN of a secret with them, instead.
        service: the service of Amazon ECS that has the workers, like `cluster/service:8`, if there is one.

    Raises:
        SettingsError: the address or the service is not one, or the credentials are not named.
    """
    if not address:
        return None
    if not secret_id and not credentials:
        raise SettingsError(
            f"{settings.WORKERS} is set, but neither {settings.WORKERS_CREDENTIALS} nor {settings.WORKERS_SECRET_ID}, "
            "without which the workers trust nobody."
        )
    return Cluster(
        settings.workers_address(address),
        # Read when they are needed: most batches are small.
        lambda: credentials_of_secret(secret_id) if secret_id else credentials_in(Path(credentials)),
        WorkersService.parse(service) if service else None,
    )


def platform_of_worker(ingestion: str, processed: str = "") -> Platform:
    """The platform that this machine's environment configures, for work that another process asks for.

    Args:
        ingestion: the URL of that process's ingestion zone.
        processed: the URL of its processed zone, if that matters.

    Raises:
        ClusterError: the environment names another lake.
        SettingsError, NothingHereError: see `platform_from_environment`.
    """
    platform = platform_from_environment()
    for zone, url in ((platform.lake.ingestion, ingestion), (platform.lake.processed, processed)):
        if url and zone.url != url:
            raise ClusterError(f"Its settings name the lake {zone.url}, not {url}.")
    return platform


def source_database(url: str | None = None, secret_id: str | None = None, *, create: bool = True) -> Database:
    """The source that a URL or a secret describes; the embedded stack's without either.

    Args:
        url: libpq URI.
        secret_id: name or ARN of a secret in AWS Secrets Manager.
        create: whether to create the embedded stack, with a small company, if it is needed and does not exist.

    Raises:
        SettingsError: the secret cannot be read.
        NothingHereError: the embedded stack does not exist, and `create` is false.
    """
    return _database("totesys", url, secret_id, create=create)


def warehouse_database(url: str | None = None, secret_id: str | None = None, *, create: bool = True) -> Database:
    """The warehouse's database that a URL or a secret describes; the embedded stack's without either.

    Arguments and errors are those of `source_database`.
    """
    return _database("warehouse", url, secret_id, create=create)


@lru_cache(maxsize=8)
def lake_zone(zone: str, url: str = "") -> Zone:
    """A zone of the lake by its URL; the embedded stack's without one.

    Args:
        zone: `ingestion`, `processed` or `landing`.
        url: `s3://bucket[/prefix]` or `file:///absolute/folder`.
    """
    if url:
        return Zone(url)
    return Zone(_embedded_stack(create=True).lake_url(zone))


def platform_from_environment(environment: Mapping[str, str] = os.environ, *, create: bool = False) -> Platform:
    """The platform that the environment configures; by default the embedded stack, started if it is not running.

    Args:
        environment: the settings.
        create: whether to create the embedded stack, with a small company, if it does not exist. Otherwise nothing is
            created, neither here nor by reading from the result.

    Raises:
        SettingsError: see `settings.is_configured`.
        NothingHereError: the environment configures nothing, and there is no embedded stack.
    """
    configured = _read(environment)
    if settings.is_configured(environment):
        return Platform(
            source_database(configured.totesys_url, configured.totesys_secret_id),
            Lake(lake_zone("ingestion", configured.ingestion_lake), lake_zone("processed", configured.processed_lake)),
            warehouse_from_environment(environment),
            landing=lake_zone("landing", configured.landing) if configured.landing else None,
            from_log=settings.takes_log(configured.capture),
            cluster=_cluster(configured),
        )
    stack = _embedded_stack(create=create)
    return Platform(
        Database("totesys", stack.database_url("totesys")),
        Lake(Zone(stack.lake_url("ingestion")), Zone(stack.lake_url("processed"))),
        Warehouse(Database("warehouse", stack.database_url("warehouse")), _schema(configured)),
        landing=Zone(configured.landing or stack.lake_url("landing")),
        embedded=True,
        from_log=settings.takes_log(configured.capture),
        cluster=_cluster(configured),
    )


def source_from_environment(environment: Mapping[str, str] = os.environ) -> Database:
    """The source that the environment configures, or the embedded stack's.

    Raises:
        SettingsError: the settings are incomplete (see `settings.is_configured`), or the secret cannot be read.
    """
    settings.is_configured(environment)
    configured = _read(environment)
    return source_database(configured.totesys_url, configured.totesys_secret_id)


def warehouse_from_environment(environment: Mapping[str, str] = os.environ) -> Warehouse:
    """The warehouse that the environment configures, or the embedded stack's.

    Raises:
        SettingsError: the secret cannot be read.
    """
    configured = _read(environment)
    return Warehouse(warehouse_database(configured.warehouse_url, configured.warehouse_secret_id), _schema(configured))


def warehouse_for_queries(environment: Mapping[str, str] = os.environ) -> Warehouse:
    """The warehouse for those who only query it.

    The URL or the secret of a reader needs no other settings. Without it, the platform's own are used, and the caller
    makes sure that nothing is changed.

    Raises:
        SettingsError, NothingHereError: see `platform_from_environment`.
    """
    url, secret_id = map(environment.get, (settings.WAREHOUSE_READER_URL, settings.WAREHOUSE_READER_SECRET_ID))
    if url or secret_id:
        return Warehouse(_database("warehouse_reader", url, secret_id, create=False), _schema(_read(environment)))
    return platform_from_environment(environment).warehouse


def _read(environment: Mapping[str, str]) -> settings.PlatformSettings[str]:
    return settings.PlatformSettings.read(lambda variable: environment.get(variable) or "")


def _cluster(configured: settings.PlatformSettings[str]) -> Cluster | None:
    return cluster_at(
        configured.workers,
        configured.workers_credentials,
        configured.workers_secret_id,
        configured.workers_service,
    )


def _schema(configured: settings.PlatformSettings[str]) -> str:
    return configured.warehouse_schema or settings.DEFAULT_SCHEMA


def _database(name: str, url: str | None, secret_id: str | None, *, create: bool) -> Database:
    if url:
        return Database(name, url)
    if secret_id:
        return Database(name, url_from_secret(secret_id))
    return Database(name, _embedded_stack(create=create).database_url(name))


def _embedded_stack(*, create: bool) -> "LocalStack":
    from totes_dagster.local.stack import existing_stack, local_stack  # noqa: PLC0415 - imports a lot

    return local_stack() if create else existing_stack()
