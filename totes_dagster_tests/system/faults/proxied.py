"""A platform whose servers can all be reached, but only by way of proxies that one journal rules."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from totes_dagster_tests.system.faults.points import Journal
from totes_dagster_tests.system.faults.postgres_proxy import PostgresProxy
from totes_dagster_tests.system.faults.refreshing import Settings
from totes_dagster_tests.system.faults.s3_proxy import S3Proxy


@dataclass(frozen=True)
class ObjectStore:
    """An S3 server, a bucket of it for the lakes, and the variables that lead there."""

    endpoint: str
    bucket: str
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Way:
    """The way to a platform by proxies.

    Attributes:
        settings: the platform, as it is to be reached.
        lake: None where that is a folder.
    """

    settings: Settings
    source: PostgresProxy
    warehouse: PostgresProxy
    lake: S3Proxy | None


@contextmanager
def proxied(settings: Settings, journal: Journal, store: ObjectStore | None = None) -> Iterator[Way]:
    """Make a way to a platform.

    Args:
        settings: the platform.
        journal: what happens on the way.
        store: where its lake is, if that is no folder.
    """
    with ExitStack() as stack:
        source = stack.enter_context(PostgresProxy("source", settings.source, journal))
        warehouse = stack.enter_context(PostgresProxy("warehouse", settings.warehouse, journal))
        lake = stack.enter_context(S3Proxy(store.endpoint, journal)) if store else None
        environment = {**settings.environment, **({"AWS_ENDPOINT_URL": lake.url} if lake else {})}
        by_proxies = replace(settings, source=source.url, warehouse=warehouse.url, environment=environment)
        yield Way(by_proxies, source, warehouse, lake)
