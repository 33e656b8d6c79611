"""Where one life after another is played: databases and a lake of its own for each, made from templates.

What happens in a life is said in `test_stateful.py`.
"""

import itertools
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from totes_dagster.local.server import EmbeddedPostgres
from totes_dagster.schema.totesys import SOURCE_TABLES
from totes_dagster.simulator.seeding import publish, seed
from totes_dagster_tests.logged_sources import drop_slots_of
from totes_dagster_tests.system.end_to_end.chronicle import SOUND
from totes_dagster_tests.system.platforms import lake_in, platform_at
from totes_dagster_tests.world import World

SCHEMA = "star schema"

_numbers = itertools.count(1)


@dataclass
class Stage:
    """A server, a company to begin with, and all that was made of them.

    Attributes:
        server: where all databases are; its log can be read.
        folder: where all lakes are.
        databases: names of those that are there.
    """

    server: EmbeddedPostgres
    folder: Path
    databases: list[str] = field(default_factory=list)

    def prepare(self) -> None:
        """Found a small company, and let a warehouse see it."""
        self._administer("create database {}", "begun_source")
        self._administer("create database {}", "begun_warehouse")
        with psycopg.connect(self.server.url("begun_source")) as connection:
            connection.execute("create schema company")
        seed(self._source_url("begun_source"), orders=12, enforced=False)  # so that rows may point nowhere
        with psycopg.connect(self.server.url("begun_source")) as connection:
            for table in SOURCE_TABLES:  # for the oracle
                condition = SOUND.get(table, "true")
                connection.execute(f"create view public.{table} as select * from company.{table} where {condition}")
        publish(self._source_url("begun_source"))
        self._world("begun_source", "begun_warehouse", self.folder / "begun").refresh()

    def world(self, *, begun: bool) -> World:
        """A world of its own, whose company the platform has seen or not."""
        lake = self.folder / f"lake_{next(_numbers)}"
        if begun:
            shutil.copytree(self.folder / "begun", lake)
        warehouse = self.copy("begun_warehouse") if begun else self.empty()
        return self._world(self.copy("begun_source"), warehouse, lake)

    def first_backups(self, *, begun: bool) -> tuple[str, str]:
        """The names of databases that are as a new world's two ends."""
        return "begun_source", "begun_warehouse" if begun else self.empty()

    def empty(self) -> str:
        """The name of a new database."""
        return self._new("create database {}")

    def copy(self, template: str) -> str:
        """The name of a new database with all that another one has; nobody may be connected to that."""
        return self._new("create database {} template {}", template)

    def replace(self, name: str, template: str) -> None:
        """Let a database be as another one, under its old name, as after a restore."""
        self._drop(name)
        self._administer("create database {} template {}", name, template)

    def clear(self) -> None:
        """Remove all that was made for worlds."""
        while self.databases:
            self._drop(self.databases.pop())
        for lake in self.folder.glob("lake_*"):
            shutil.rmtree(lake)

    def close(self) -> None:
        """Remove the company too."""
        self.databases += ["begun_source", "begun_warehouse"]
        self.clear()

    def _new(self, statement: str, *templates: str) -> str:
        name = f"stage_{next(_numbers)}"
        self._administer(statement, name, *templates)
        self.databases.append(name)
        return name

    def _drop(self, name: str) -> None:
        drop_slots_of(self.server.url(name))
        self._administer("drop database {} with (force)", name)

    def _source_url(self, name: str) -> str:
        return make_conninfo(self.server.url(name), options="-c search_path=company")

    def _administer(self, statement: str, *names: str) -> None:
        with psycopg.connect(self.server.url(), autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    def _world(self, source: str, warehouse: str, lake: Path) -> World:
        return World(platform_at(self._source_url(source), self.server.url(warehouse), lake_in(lake), SCHEMA))


def name_of(url: str) -> str:
    """The name of a database from its URL."""
    return str(conninfo_to_dict(url)["dbname"])
