"""Connections to PostgreSQL: psycopg for statements, ADBC for bulk. Failures to connect become named errors here."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg
from adbc_driver_manager import dbapi as adbc_errors
from adbc_driver_postgresql import dbapi as adbc
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from totes_dagster.errors import DatabaseError, SettingsError

_LOCAL_HOSTS = {"localhost", "127.0.0.1", "::1"}


@dataclass(frozen=True)
class Database:
    """A PostgreSQL database that the platform connects to.

    Attributes:
        name: what the platform calls it: `totesys` or `warehouse`.
        url: libpq URI or connection string. It may hold a password, so it is left out of the repr and never printed.
    """

    name: str
    url: str = field(repr=False)

    @contextmanager
    def connect(self, *, autocommit: bool = False) -> Iterator[psycopg.Connection]:
        """A psycopg connection, committed at the end of the block, rolled back when it raises, and closed.

        Raises:
            DatabaseError: the server cannot be reached, refuses, or fails in the block.
            SettingsError: the URL is none.
        """
        try:
            connection = psycopg.connect(self.conninfo(), autocommit=autocommit)
        except psycopg.OperationalError as error:
            raise self._cannot_connect(error) from error
        except psycopg.ProgrammingError as error:
            raise SettingsError(f"The URL of {self.name} has an option that makes no sense: {error}.") from error
        try:
            with connection:
                yield connection
        except psycopg.Error as error:
            raise DatabaseError(f"{self.name} failed: {' '.join(str(error).split())}") from error

    @contextmanager
    def connect_bulk(self) -> Iterator[adbc.Connection]:
        """An ADBC connection in a transaction, rolled back at the end of the block unless committed, and closed.

        Raises:
            DatabaseError: the server cannot be reached, or refuses.
        """
        try:
            connection = adbc.connect(self.conninfo())
        except adbc_errors.Error as error:
            raise self._cannot_connect(error) from error
        with connection:
            yield connection

    def conninfo(self) -> str:
        """The URL as a connection string with our defaults: a time limit, and encryption to hosts other than this one.

        Raises:
            SettingsError: the URL is none. The message does not show it.
        """
        try:
            given = conninfo_to_dict(self.url)
        except psycopg.ProgrammingError:
            # The cause would show the URL, and with it the password.
            raise SettingsError(
                f"The URL of {self.name} is no libpq URI: give postgresql://user:password@host:port/database."
            ) from None
        defaults = {"application_name": "totes_dagster", "connect_timeout": "10"}
        hosts = str(given.get("hostaddr") or given.get("host") or os.environ.get("PGHOST") or "")
        remote = any(host and host not in _LOCAL_HOSTS and not host.startswith("/") for host in hosts.split(","))
        if remote and "PGSSLMODE" not in os.environ:
            defaults["sslmode"] = "require"
        return make_conninfo(self.url, **{key: value for key, value in defaults.items() if key not in given})

    def _cannot_connect(self, error: Exception) -> DatabaseError:
        reason = " ".join(str(error).split())
        return DatabaseError(f"Cannot connect to {self.name}: {reason}")
