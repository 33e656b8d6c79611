"""A look at everything that the platform needs: settings, databases, lake, alerts, versions and rights. It only reads.

How it is printed belongs to `cli/output.py`.
"""

import os
import platform as machine
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.resources import files

import psycopg

from totes_dagster.cluster.spreading import Cluster
from totes_dagster.config import settings
from totes_dagster.config.platform import Platform, Warehouse, platform_from_environment, warehouse_for_queries
from totes_dagster.errors import ClusterError, NothingHereError, TotesError
from totes_dagster.feeds.declared import FEEDS
from totes_dagster.feeds.landing import LandingZone
from totes_dagster.feeds.rates import RatesSource
from totes_dagster.feeds.take import new_files
from totes_dagster.ingest.catalogue import qualified
from totes_dagster.ingest.contract import deviations_of
from totes_dagster.ingest.snapshot import SourceSnapshot, open_snapshot
from totes_dagster.ingest.wal.continuity import usable_slot
from totes_dagster.ingest.wal.slot import LogUnusableError, slot_of
from totes_dagster.lake.batch_log import BatchLog, FeedLog
from totes_dagster.lake.source_catalogue import Catalogue
from totes_dagster.lake.zone import Lake, Zone
from totes_dagster.schema.registry import STAR_TABLES
from totes_dagster.schema.totesys import SOURCE_TABLES
from totes_dagster.schema.views import VIEWS
from totes_dagster.warehouse.load import is_in_lake
from totes_dagster.warehouse.migrations import HEAD, revision_of
from totes_dagster.warehouse.queries import newest_load


class Health(StrEnum):
    """How serious a finding is."""

    GOOD = "ok"
    NOTE = "note"
    """It works; somebody may want to know."""
    BAD = "problem"
    """The platform does not work, or not fully, until this is mended."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        what: the part of the platform: `settings`, `totesys`, `ingestion` …
        health: how it is.
        text: what was found, in one line, and what to do about it.
    """

    what: str
    health: Health
    text: str


def examine(environment: Mapping[str, str] = os.environ) -> Iterator[Finding]:
    """Look at everything, part by part; a part that fails does not keep others from being looked at.

    Args:
        environment: the settings.
    """
    yield Finding("platform", Health.GOOD, f"totes {version('totes-dagster')} on Python {machine.python_version()}")
    yield from _configured(environment)
    if environment.get(settings.WAREHOUSE_READER_URL) or environment.get(settings.WAREHOUSE_READER_SECRET_ID):
        yield from _part("reader", lambda: _reader(warehouse_for_queries(environment)))
    yield _dashboard()
    yield from _part("alerts", lambda: _alerts(environment))


def missing_for_dashboard() -> list[str]:
    """The packages of the extra `dashboard` that are not installed."""
    needed = [line for line in requires("totes-dagster") or () if re.search(r"extra == .dashboard.", line)]
    names = [re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in needed]
    # The container image has the script that this one makes instead.
    made = files("totes_dagster").joinpath("dashboard", "static", "vega.js").is_file()
    return [name for name in names if not _is_installed(name) and not (made and name == "vl-convert-python")]


def _is_installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def _configured(environment: Mapping[str, str]) -> Iterator[Finding]:
    """The platform, part by part."""
    try:
        platform = platform_from_environment(environment)
    except NothingHereError as nothing:
        yield Finding("settings", Health.NOTE, str(nothing))
        return
    except TotesError as error:
        yield _failure("settings", error)
        return
    yield Finding("settings", Health.GOOD, _described(platform, environment))
    yield from _part("totesys", lambda: _source(platform))
    for name, zone in (("ingestion", platform.lake.ingestion), ("processed", platform.lake.processed)):
        yield from _part(name, lambda name=name, zone=zone: _zone(name, zone, embedded=platform.embedded))  # type: ignore[misc]
    yield from _part("warehouse", lambda: _warehouse(platform.warehouse, platform.lake))
    if platform.landing:
        landing = LandingZone(platform.landing)
        yield from _part("landing", lambda: _landing(landing, platform.lake.ingestion, embedded=platform.embedded))
    if platform.cluster:
        cluster = platform.cluster
        yield from _part("workers", lambda: _workers(cluster))
    if rates := environment.get(settings.RATES_URL):
        yield from _part("rates", lambda: _rates(rates))


def _described(platform: Platform, environment: Mapping[str, str]) -> str:
    if platform.embedded:
        return "none for databases and lake: everything is on the embedded stack"
    names = settings.PlatformSettings.read(lambda name: name if environment.get(name) else "")
    return ", ".join(filter(None, vars(names).values()))


def _part(what: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from look()
    except TotesError as error:
        yield _failure(what, error)


def _failure(what: str, error: TotesError) -> Finding:
    return Finding(what, Health.BAD, f"{type(error).__name__}: {error}")


def _source(platform: Platform) -> Iterator[Finding]:
    with open_snapshot(platform.source) as snapshot:
        connection = snapshot.connection
        kind = "standby" if snapshot.taken.in_recovery else "primary"
        yield Finding("totesys", Health.GOOD, f"PostgreSQL {_version(connection.info.server_version)}, a {kind}")
        deviations = deviations_of(snapshot.catalogue)
        for deviation in deviations:
            yield Finding("totesys", Health.BAD if deviation.breaks else Health.NOTE, str(deviation))
        if not deviations:
            yield Finding("totesys", Health.GOOD, f"{len(snapshot.catalogue.tables)} tables, all as declared")
        yield from _log(platform, snapshot)
        writable = _writable(connection, snapshot.catalogue)
        if writable and not platform.embedded:
            text = f"the user may change {', '.join(writable)}, although the platform only reads; see deploy/roles"
            yield Finding("totesys", Health.NOTE, text)


def _log(platform: Platform, snapshot: SourceSnapshot) -> Iterator[Finding]:
    """How changes are found."""
    if not platform.from_log:
        if not platform.embedded:
            text = (
                "changes are found by counting; with TOTES_CAPTURE=log, every version of a row would be kept, see docs"
            )
            yield Finding("totesys", Health.GOOD, text)
        return
    try:
        slot = usable_slot(snapshot, slot_of(platform.lake.ingestion))
    except LogUnusableError as error:
        yield Finding("totesys", Health.NOTE, f"changes are found by counting, although TOTES_CAPTURE is log: {error}")
    else:
        held = f"{slot.held_bytes / 2**20:,.0f} MB"
        yield Finding(
            "totesys", Health.GOOD, f"changes are taken from the log, of which the source keeps {held} for it"
        )


def _workers(cluster: Cluster) -> Iterator[Finding]:
    """Who takes a share of large batches; none is needed."""
    try:
        count = cluster.workers()
    except ClusterError as error:
        yield Finding("workers", Health.NOTE, f"{error} Large batches are done by one process.")
        return
    if count:
        yield Finding("workers", Health.GOOD, f"{count} at {cluster.address}, with this version of the platform")
    elif cluster.service:
        text = f"none now; {cluster.service.count} of the service {cluster.service.service} are asked for when needed"
        yield Finding("workers", Health.GOOD, text)
    else:
        text = f"none at {cluster.address} with this version of the platform; large batches are done by one process"
        yield Finding("workers", Health.NOTE, text)


def _writable(connection: psycopg.Connection, catalogue: Catalogue) -> list[str]:
    """The declared tables of the source that the platform's user may change."""
    names = [name for name in SOURCE_TABLES if name in catalogue.tables]
    tables = [qualified(catalogue, name).as_string(connection) for name in names]
    statement = "select has_table_privilege(name::regclass, 'insert, update, delete') from unnest(%s::text[]) as name"
    rights = connection.execute(statement, [tables]).fetchall()
    return [name for name, (may,) in zip(names, rights, strict=True) if may]


def _zone(name: str, zone: Zone, *, embedded: bool) -> Iterator[Finding]:
    if not embedded:
        zone.check_exists()
    if name == "processed":
        zone.exists("batches")  # that it can be read at all
        yield Finding(name, Health.GOOD, f"{zone.url} can be read; writing was not tried")
        return
    log = BatchLog(zone)
    head = log.head()
    log.check_head_is_last(head)
    newest = f"newest batch {head} of {log.manifest(head).snapshot.taken_at:%Y-%m-%d %H:%M:%S} UTC" if head else "empty"
    yield Finding(name, Health.GOOD, f"{zone.url} can be read, {newest}; writing was not tried")


def _landing(landing: LandingZone, ingestion: Zone, *, embedded: bool) -> Iterator[Finding]:
    if not embedded:
        landing.zone.check_exists()
    for name, feed in FEEDS.items():
        waiting = len(new_files(feed, landing, ingestion, FeedLog(ingestion, name).newest()))
        yield Finding("landing", Health.GOOD, f"{landing.zone.url}/{name}: {waiting:,} files wait to be taken")


def _rates(setting: str) -> Iterator[Finding]:
    source = RatesSource.parse(setting)
    yield Finding("rates", Health.GOOD, f"fetched from {source.url}; that was not tried")


def _warehouse(warehouse: Warehouse, lake: Lake) -> Iterator[Finding]:
    with warehouse.database.transaction(read_only=True) as connection:
        ((exists, may_create, accepts_writes),) = connection.execute(_RIGHTS, [warehouse.schema]).fetchall()
        yield Finding("warehouse", Health.GOOD, f"PostgreSQL {_version(connection.info.server_version)}")
    if not accepts_writes:
        yield Finding("warehouse", Health.BAD, "the server accepts no writes: it is a standby, or was made read-only")
    revision = revision_of(warehouse)
    if revision != HEAD:
        text = f"at revision {revision}; the next refresh migrates it to {HEAD}" if revision else "without tables yet"
        yield Finding("warehouse", Health.NOTE, text)
        if not may_create:
            what = (
                f"create tables in the schema {warehouse.schema}" if exists else f"create the schema {warehouse.schema}"
            )
            yield Finding("warehouse", Health.BAD, f"the user may not {what}; see deploy/roles")
    if revision is None:
        return
    with warehouse.database.transaction(read_only=True) as connection:
        newest = newest_load(connection, warehouse.schema)
    if not is_in_lake(newest, BatchLog(lake.ingestion)):
        text = f"its newest batch, {newest.batch}, is not of this lake; check TOTES_INGESTION_LAKE and WAREHOUSE_URL"
        yield Finding("warehouse", Health.BAD, text)
    else:
        loaded = f"batch {newest.batch} is loaded" if newest.batch else "no batch is loaded"
        yield Finding("warehouse", Health.GOOD, f"schema {warehouse.schema} at revision {revision}, {loaded}")


def _reader(warehouse: Warehouse) -> Iterator[Finding]:
    """The role of those who only query: whether it may read what metrics and the dashboard read, and nothing more."""
    with warehouse.database.transaction(read_only=True) as connection:
        yield Finding("reader", Health.GOOD, f"PostgreSQL {_version(connection.info.server_version)}")
        rows = connection.execute(_READER_RIGHTS, [[*VIEWS, *STAR_TABLES], warehouse.schema]).fetchall()
    may_read = {name: readable for name, readable, _ in rows}
    absent = [name for name in VIEWS if name not in may_read]
    if absent:
        text = f"the schema {warehouse.schema} has no {', '.join(absent)} yet; a refresh creates what is missing"
        yield Finding("reader", Health.NOTE, text)
    unreadable = [name for name in VIEWS if not may_read.get(name, True)]
    if unreadable:
        text = f"the user may not read {', '.join(unreadable)}; run the script of its role in deploy/roles again"
        yield Finding("reader", Health.BAD, text)
    elif not absent:
        yield Finding("reader", Health.GOOD, f"the user may read all views of the schema {warehouse.schema}")
    if any(may_change for _, _, may_change in rows):
        yield Finding("reader", Health.NOTE, "the user may change the warehouse, although it only queries it")


_READER_RIGHTS = """
    select relname,
           has_schema_privilege(relnamespace, 'usage') and has_table_privilege(oid, 'select'),
           has_table_privilege(oid, 'insert, update, delete, truncate')
    from pg_class
    where relname = any(%s) and relnamespace = (select oid from pg_namespace where nspname = %s)
"""


def _dashboard() -> Finding:
    if missing := missing_for_dashboard():
        text = f"not installed: {', '.join(missing)}; to have it, pip install 'totes-dagster[dashboard]'"
        return Finding("dashboard", Health.NOTE, text)
    return Finding("dashboard", Health.GOOD, "its packages are installed")


def _alerts(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Where alerts go, and where their links lead."""
    topic, address = environment.get(settings.ALERT_TOPIC), environment.get(settings.UI_URL)
    if topic:
        region = settings.topic_region(topic)
        yield Finding("alerts", Health.GOOD, f"published to {topic} in {region}; that was not tried")
    else:
        yield Finding("alerts", Health.GOOD, f"written to the sensor's log; {settings.ALERT_TOPIC} sends them by SNS")
    if address:
        yield Finding("alerts", Health.GOOD, f"their links lead to {settings.ui_address(address)}")
    elif topic:
        yield Finding("alerts", Health.NOTE, f"their links lead to this machine; set {settings.UI_URL}")


_RIGHTS = """
    select to_regnamespace(quote_ident(schema)) is not null,
           case when to_regnamespace(quote_ident(schema)) is not null
                then has_schema_privilege(to_regnamespace(quote_ident(schema))::oid, 'create')
                else has_database_privilege(current_database(), 'create') end,
           not pg_is_in_recovery() and not current_setting('default_transaction_read_only')::boolean
    from (select %s::text as schema) as named
"""


def _version(number: int) -> str:
    return f"{number // 10000}.{number % 10000}"
