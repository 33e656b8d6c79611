"""Backups as PostgreSQL knows them: dumps, copies of databases, and servers whose data folder is copied."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from totes_dagster.local.programs import program
from totes_dagster.local.server import EmbeddedPostgres
from totes_dagster_tests.servers import FAST_SETTINGS, wait_until_stopped


class Backups:
    """Backups of databases, by PostgreSQL's own means; what is put back has the name of what it takes the place of.

    Args:
        server: where the databases are.
        dumped: whether they are dumped and restored, or else copied.
        folder: where dumps lie.
    """

    def __init__(self, server: EmbeddedPostgres, dumped: bool, folder: Path) -> None:
        self._server = server
        self._dumped = dumped
        self._folder = folder

    def make(self, url: str) -> None:
        if self._dumped:
            self._run("pg_dump", "--format=custom", "--file", str(self._dump_of(url)), url)
        else:
            self._administer("create database {} template {}", f"{_name(url)}_backup", _name(url))

    def restore(self, url: str) -> None:
        self._administer("drop database {} with (force)", _name(url))
        if self._dumped:
            self._administer("create database {}", _name(url))
            self._run("pg_restore", "--exit-on-error", "--dbname", url, str(self._dump_of(url)))
        else:
            self._administer("alter database {} rename to {}", f"{_name(url)}_backup", _name(url))

    def _dump_of(self, url: str) -> Path:
        return self._folder / f"{_name(url)}.dump"

    def _run(self, name: str, *arguments: str) -> None:
        subprocess.run([program(name), *arguments], check=True, capture_output=True)

    def _administer(self, statement: str, *names: str) -> None:
        with psycopg.connect(self._server.url(), autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def _name(url: str) -> str:
    return str(conninfo_to_dict(url)["dbname"])


@contextmanager
def running(folder: Path) -> Iterator[EmbeddedPostgres]:
    """A server of this folder, which has stopped when the block ends."""
    with EmbeddedPostgres(folder, FAST_SETTINGS) as server:
        yield server
    wait_until_stopped(folder)
