"""What is measured on: a PostgreSQL server and a simulated company, in a temporary folder."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg
from psycopg import sql

from totes_dagster.config.platform import Platform, Warehouse
from totes_dagster.lake.zone import Lake, Zone
from totes_dagster.local.server import EmbeddedPostgres
from totes_dagster.postgres.database import Database
from totes_dagster.simulator.seeding import seed
from totes_dagster_tests.servers import server_folder


@dataclass(frozen=True)
class Bench:
    """A running server, and a folder for lakes.

    Attributes:
        folder: temporary; gone at the end.
        server: with the settings of the embedded stack.
    """

    folder: Path
    server: EmbeddedPostgres

    def company(self, orders: int) -> str:
        """The name of a database with a company of so many sales orders; created once."""
        name = f"totesys_{orders}"
        if self.server.create_database(name):
            seed(self.server.url(name), orders=orders)
            self.settle(name)
        return name

    def platform(self, company: str, name: str) -> Platform:
        """A platform for a company, with a warehouse and a lake of its own, empty when it is first asked for."""
        self.server.create_database(name)
        lake = self.folder / "lakes" / name
        return Platform(
            source=Database("totesys", self.server.url(company)),
            lake=Lake(Zone((lake / "ingestion").as_uri()), Zone((lake / "processed").as_uri())),
            warehouse=Warehouse(Database("warehouse", self.server.url(name))),
        )

    def settle(self, name: str) -> None:
        """Do what the server would do in the background later, perhaps while something is measured."""
        with psycopg.connect(self.server.url(name), autocommit=True) as connection:
            connection.execute("vacuum analyze")
            connection.execute("checkpoint")

    def drop(self, name: str) -> None:
        """Remove a database, and the lake of its name."""
        with psycopg.connect(self.server.url(), autocommit=True) as connection:
            connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))
        shutil.rmtree(self.folder / "lakes" / name, ignore_errors=True)

    def cpu_seconds(self) -> float:
        """CPU seconds that the server has used, in all its processes, those that have ended included."""
        pid = int((self.server.data / "postmaster.pid").read_text().splitlines()[0])
        postmaster = psutil.Process(pid)
        times = postmaster.cpu_times()
        used = times.user + times.system + times.children_user + times.children_system
        for child in postmaster.children():
            try:
                times = child.cpu_times()
            except psutil.NoSuchProcess:  # it ended a moment ago, and counts the next time
                continue
            used += times.user + times.system
        return float(used)


@contextmanager
def new_bench(settings: Mapping[str, str] | None = None) -> Iterator[Bench]:
    """A server of its own, without the company, stopped at the end.

    Args:
        settings: settings of the server, besides those of every embedded one.
    """
    with server_folder() as folder, EmbeddedPostgres(folder / "postgres", settings) as server:
        yield Bench(folder, server)
