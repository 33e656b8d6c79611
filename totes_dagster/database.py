"""Connections to PostgreSQL: psycopg for statements, ADBC for bulk. What fails is named in `database_errors.py`."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import psycopg
from adbc_driver_manager import dbapi as adbc_errors
from adbc_driver_postgresql import dbapi as adbc
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from totes_dagster.database_errors import DriverError, named_connect_error, named_error
from totes_dagster.errors import SettingsError, TotesError

_LOCAL_HOSTS = {"localhost", "127.0.0.1", "::1"}

_URI = re.compile(r"([^@/]*@)?+[^@?]*(\?.*)?")
"""What follows the `//`. With an @ or / too many, libpq would take the end of a password for a host or a port."""

_reached: set[str] = set()
"""Connection strings with which this process has connected; they hold passwords, so this is not to be shown."""


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
        conninfo = self.conninfo()
        try:
            connection = psycopg.connect(conninfo, autocommit=autocommit)
        except (psycopg.Error, UnicodeError) as error:
            raise self._cannot_connect(conninfo, error) from None
        _reached.add(conninfo)
        try:
            yield connection
            connection.commit()
        except psycopg.Error as error:
            raise named_error(self.name, "a statement", error) from error
        finally:
            with suppress(psycopg.Error):  # of a connection that broke off; what it failed of is what counts
                connection.rollback()
            connection.close()

    @contextmanager
    def connect_bulk(self) -> Iterator[adbc.Connection]:
        """An ADBC connection in a transaction, rolled back at the end of the block unless committed, and closed.

        Raises:
            DatabaseError: the server cannot be reached, refuses, or fails in the block.
            SettingsError: the URL is none.
        """
        conninfo = self.conninfo()
        try:
            connection = adbc.connect(conninfo)
        except adbc_errors.Error as error:
            raise self._cannot_connect(conninfo, error) from None
        _reached.add(conninfo)
        try:
            with connection:
                yield connection
        except adbc_errors.Error as error:
            raise named_error(self.name, "a statement", error) from error

    def conninfo(self) -> str:
        """The URL as a connection string with our defaults: a time limit, and encryption to hosts other than this one.

        Raises:
            SettingsError: the URL is none. The message does not show it.
        """
        given = self._options()
        if given is None:
            raise SettingsError(
                f"The URL of {self.name} is no libpq URI: give postgresql://user:password@host:port/database, and "
                "percent-encode what is special in it (%40 for @, %2F for /)."
            )
        # ADBC takes what the server sends for UTF-8, whatever the database's own encoding is.
        defaults = {"application_name": "totes_dagster", "connect_timeout": "10", "client_encoding": "UTF8"}
        hosts = str(given.get("hostaddr") or given.get("host") or os.environ.get("PGHOST") or "")
        remote = any(host and host not in _LOCAL_HOSTS and not host.startswith("/") for host in hosts.split(","))
        if remote and "PGSSLMODE" not in os.environ:
            defaults["sslmode"] = "require"
        return make_conninfo(self.url, **{key: value for key, value in defaults.items() if key not in given})

    def _options(self) -> dict[str, object] | None:
        """The URL as libpq reads it; None where it cannot, or would take a piece of the password for something else."""
        given: dict[str, object] | None = None
        # The cause would show the URL, and with it the password.
        with suppress(psycopg.ProgrammingError, UnicodeError):
            self.url.encode()
            given = None if "\0" in self.url else dict(conninfo_to_dict(self.url))
        scheme, is_uri, rest = self.url.partition("://")
        if given is None or not is_uri or scheme not in {"postgresql", "postgres"}:
            return given
        has_port_of_digits = all(port.isdecimal() or not port for port in str(given.get("port", "")).split(","))
        return given if _URI.fullmatch(rest) and has_port_of_digits else None

    def _cannot_connect(self, conninfo: str, error: DriverError) -> TotesError:
        return named_connect_error(self.name, dict(conninfo_to_dict(conninfo)), error, was_reached=conninfo in _reached)
