"""An embedded server that also listens at a port of this machine, and asks for passwords there."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import psycopg
import pytest

from totes_dagster.local.server import EmbeddedPostgres
from totes_dagster_tests.ports import free_port
from totes_dagster_tests.servers import FAST_SETTINGS, server_folder

PASSWORD = "p@ss/w0rd?&#%"
"""Full of what has to be percent-encoded in a URI."""

_RULES = """
local all all trust
hostnossl all encrypted 127.0.0.1/32 reject
host all reader,encrypted 127.0.0.1/32 scram-sha-256
host all nobody,limited,retired,visitor 127.0.0.1/32 trust
"""

_ROLES = f"""
create role reader login password '{PASSWORD}';
create role encrypted login password '{PASSWORD}';
create role unlisted login password '{PASSWORD}';
create role limited login connection limit 0;
create role retired nologin;
create role visitor login;
create database closed;
revoke connect on database closed from public
"""
"""`reader` gets in with the password, `visitor` without. `nobody` is not a role at all; `unlisted` is in no rule."""


class TcpPostgres(EmbeddedPostgres):
    """A server at a port of its own, besides its Unix socket."""

    def __init__(self, directory: Path, settings: Mapping[str, str]) -> None:
        super().__init__(directory, settings)
        self.port = free_port()

    def url(self, database: str = "postgres") -> str:
        return super().url(database).replace("port=5432", f"port={self.port}")

    def keep_out(self) -> None:
        """Make the roles, and the rules of who gets in how."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            for statement in _ROLES.split(";"):
                connection.execute(statement)
            (self.data / "pg_hba.conf").write_text(_RULES)
            connection.execute("select pg_reload_conf()")
        deadline = time.monotonic() + 30
        while self._lets_in("unlisted"):  # by the rules from before
            assert time.monotonic() < deadline

    def _lets_in(self, user: str) -> bool:
        try:
            psycopg.connect(host="127.0.0.1", port=self.port, user=user, dbname="postgres").close()
        except psycopg.OperationalError:
            return False
        return True

    def server_command(self) -> list[str]:
        return [*super().server_command(), "-c", f"port={self.port}", "-c", "listen_addresses=127.0.0.1"]


@pytest.fixture(scope="session")
def server() -> Iterator[TcpPostgres]:
    """A server that asks for passwords, reached by TCP: a fixture of the folders that import it."""
    with server_folder() as folder, TcpPostgres(folder, FAST_SETTINGS) as running:
        running.keep_out()
        yield running
