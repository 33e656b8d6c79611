"""Companies that many tests begin with: made once in each process of a run, and copied for each test."""

import hashlib
import itertools
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql

from totes_dagster.config.platform import Platform
from totes_dagster.lake.batch_log import manifest_path
from totes_dagster.lake.manifest import Manifest
from totes_dagster.local.server import EmbeddedPostgres
from totes_dagster.pipeline import refresh
from totes_dagster.simulator.seeding import create_schema, seed
from totes_dagster_tests.system.platforms import lake_in, platform_at
from totes_dagster_tests.world import UNTIL

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Company:
    """What a company is before anything happens to it.

    Attributes:
        orders: the number of its sales orders; without any, its tables are there and empty.
        enforced: whether it is of the newer form, which enforces all references.
        schema: the warehouse's schema.
        at_work: whether something happened at it a moment ago.
    """

    orders: int = 60
    enforced: bool = True
    schema: str = "public"
    at_work: bool = False


@dataclass(frozen=True)
class Originals:
    """What is copied, on one server: databases that nobody else connects to, and a folder of lakes."""

    server: EmbeddedPostgres
    folder: Path
    _made: dict[object, str] = field(default_factory=dict)

    def source(self, company: Company) -> str:
        """The name of the source's database."""

        def fill(url: str) -> None:
            if company.orders:
                seed(url, orders=company.orders, until=UNTIL, enforced=company.enforced)
            else:
                create_schema(url, enforced=company.enforced)
            if company.at_work:
                with psycopg.connect(url) as connection:
                    for name in ("sales_order", "purchase_order", "payment"):
                        stamp = f"update {name} set last_updated = now() at time zone 'UTC' where {name}_id = 1"
                        connection.execute(stamp)

        return self._once((company.orders, company.enforced, company.at_work), fill)

    def warehouse(self, company: Company) -> str:
        """The name of the warehouse's database, after one refresh."""

        def fill(url: str) -> None:
            create_database(self.server, "refreshed", self.source(company))
            source = self.server.url("refreshed")
            refresh(platform_at(source, url, lake_in(self.lake(company)), company.schema))
            with psycopg.connect(self.server.url(), autocommit=True) as connection:
                connection.execute("drop database refreshed with (force)")

        return self._once(company, fill)

    def lake(self, company: Company) -> Path:
        """The lake's folder, after one refresh."""
        return self.folder / f"{company.orders}_{company.enforced}_{company.schema}_{company.at_work}"

    def _once(self, key: object, fill: Callable[[str], None]) -> str:
        if key not in self._made:
            name = f"original_{len(self._made)}"
            assert self.server.create_database(name)
            self._made[key] = name
            fill(self.server.url(name))
        return self._made[key]


@dataclass(frozen=True)
class Companies:
    """The copies that one test asks for.

    Attributes:
        originals: what is copied.
        database: creates a database, perhaps from a template, and returns its URI.
        folder: where the lake is.
    """

    originals: Originals
    database: Callable[..., str]
    folder: Path

    def source(self, company: Company) -> str:
        """The URI of a source."""
        return self.database("totesys", template=self.originals.source(company))

    def unseen(self, company: Company) -> Platform:
        """A platform with nothing in its lake and warehouse."""
        return platform_at(self.source(company), self.database("warehouse"), lake_in(self.folder), company.schema)

    def seen(self, company: Company) -> Platform:
        """A platform that has been refreshed once."""
        warehouse = self.database("warehouse", template=self.originals.warehouse(company))
        source = self.source(company)
        shutil.copytree(self.originals.lake(company), self.folder, dirs_exist_ok=True)
        platform = platform_at(source, warehouse, lake_in(self.folder), company.schema)
        _make_source_of(platform)
        return platform


def _make_source_of(platform: Platform) -> None:
    """Have the lake and the warehouse of a copy know its source, which has another number than the one copied."""
    with psycopg.connect(platform.source.url) as connection:
        ((number,),) = connection.execute("select oid::bigint from pg_database where datname = current_database()")
    file = Path(platform.lake.ingestion.url.removeprefix("file://"), manifest_path(1))
    manifest = Manifest.from_json(file.read_bytes(), str(file))
    snapshot = manifest.snapshot.model_copy(update={"database_oid": number})
    content = manifest.model_copy(update={"snapshot": snapshot}).to_json()
    file.write_bytes(content)
    with psycopg.connect(platform.warehouse.database.url) as connection:
        history = sql.Identifier(platform.warehouse.schema, "load_history")
        digest = sql.Literal(hashlib.sha256(content).hexdigest())
        connection.execute(sql.SQL("update {} set manifest_sha256 = {}").format(history, digest))


def create_database(server: EmbeddedPostgres, name: str, template: str) -> None:
    """Create a database as a copy of another one, which nobody may be connected to."""
    # Where nothing is flushed to a disk, copying files takes half as long as writing them to the log.
    statement = sql.SQL("create database {} template {} strategy file_copy").format(
        sql.Identifier(name), sql.Identifier(template)
    )
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(statement)


@contextmanager
def databases(server: EmbeddedPostgres) -> Iterator[Callable[..., str]]:
    """A function that creates a new empty database and returns its URI; it is dropped when the block ends.

    `database("totesys")` puts that into the database's name, which helps to read the server's log. `template` names a
    database to copy.
    """
    created: list[str] = []

    def create(name_hint: str = "db", template: str = "template1") -> str:
        name = f"{name_hint}_{next(_numbers)}"
        create_database(server, name, template)
        created.append(name)
        return server.url(name)

    yield create
    if created:
        with psycopg.connect(server.url(), autocommit=True) as connection:
            for name in created:
                connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))
