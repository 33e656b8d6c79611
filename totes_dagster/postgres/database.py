"""Connections to PostgreSQL.

Failures become named errors in `named_errors.py`; transactions are in `transactions.py`.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Self

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from totes_dagster.errors import ServerVersionError, SettingsError, TotesError
from totes_dagster.postgres import transactions
from totes_dagster.postgres.destination import effective_options, is_remote
from totes_dagster.postgres.named_errors import DriverError, named_connect_error, named_error
from totes_dagster.postgres.refusal import probe_refusal

OLDEST_VERSION = 130000
"""The oldest version of PostgreSQL that has everything the platform uses, such as `pg_current_snapshot()`."""

_URI = re.compile(r"([^@/]*@)?+[^@?]*(\?.*)?")
"""The part of a URI after the `//`. With an unescaped @ or /, libpq would parse the end of a password as a host or a
port."""

_reached: set[str] = set()
"""Connection strings with which this process has connected. They contain passwords: never print them."""


class NamedConnection(psycopg.Connection[tuple[Any, ...]]):
    """A connection whose errors name its database.

    Otherwise, code that uses two databases at once could not tell which of them an error comes from.
    """

    database_name = ""


class _Cursor(psycopg.Cursor[tuple[Any, ...]]):
    """A cursor that raises the failures of its statements as named errors."""

    def execute(self, *arguments: Any, **options: Any) -> Self:
        try:
            return super().execute(*arguments, **options)
        except psycopg.Error as error:
            connection = self.connection
            name = connection.database_name if isinstance(connection, NamedConnection) else "PostgreSQL"
            raise named_error(name, "a statement", error) from error


@dataclass(frozen=True)
class Database:
    """A PostgreSQL database that the platform connects to.

    Attributes:
        name: the platform's name for it: `totesys` or `warehouse`.
        url: libpq URI or connection string. It may contain a password, so it is not part of the repr and is never
            printed.
    """

    name: str
    url: str = field(repr=False)

    @contextmanager
    def connect(self) -> Iterator[NamedConnection]:
        """A psycopg connection in autocommit mode, closed at the end of the block.

        The server, the database or the role may have settings that change the meaning of a statement, and a pooler may
        give the session to another client after each transaction. So run statements in a
        `postgres.transactions.transaction`; statements are never prepared.

        Raises:
            DatabaseError: the server cannot be reached, refuses the connection, or fails in the block.
            ServerVersionError: the server is older than the platform supports.
            SettingsError: the URL is not a valid connection string.
        """
        conninfo = self.conninfo()
        try:
            connection = NamedConnection.connect(
                conninfo, autocommit=True, prepare_threshold=None, cursor_factory=_Cursor
            )
        except (psycopg.Error, UnicodeError) as error:
            raise self._cannot_connect(conninfo, error) from None
        connection.database_name = self.name
        try:
            self._check_version(connection.info.server_version)
            _reached.add(conninfo)
            yield connection
        except psycopg.Error as error:
            raise named_error(self.name, "a statement", error) from error
        finally:
            connection.close()

    @contextmanager
    def transaction(
        self, *, isolation: sql.SQL = transactions.READ_COMMITTED, read_only: bool = False
    ) -> Iterator[NamedConnection]:
        """One transaction on its own connection: committed at the end of the block, or rolled back if the block raises.

        Raises:
            DatabaseError, ServerVersionError, SettingsError: see `connect`.
        """
        with (
            self.connect() as connection,
            transactions.transaction(connection, isolation=isolation, read_only=read_only),
        ):
            yield connection

    def at_server_of(self, connection: psycopg.Connection[Any]) -> "Database":
        """The database at the one server that a connection has reached.

        The URL may name several servers, and one host name may resolve to the addresses of several.
        """
        info = connection.info
        return Database(
            self.name,
            make_conninfo(self.conninfo(), host=info.host, hostaddr=info.hostaddr or None, port=info.port),
        )

    def conninfo(self) -> str:
        """The URL as a connection string with the platform's defaults: a timeout, and encryption to remote hosts.

        Raises:
            SettingsError: the URL is not a valid connection string. The message does not show it.
        """
        given = self._options()
        if given is None:
            raise SettingsError(
                f"The URL of {self.name} is not a valid libpq URI: use postgresql://user:password@host:port/database, "
                "and percent-encode special characters (%40 for @, %2F for /)."
            )
        defaults = {"application_name": "totes_dagster", "connect_timeout": "10"}
        options = effective_options(self.url)
        is_chosen = "sslmode" in given or "PGSSLMODE" in os.environ or options.get("sslmode", "prefer") != "prefer"
        if is_remote(options) and not is_chosen:
            defaults["sslmode"] = "require"
        missing = {key: value for key, value in defaults.items() if key not in given}
        return make_conninfo(self.url, **missing, client_encoding="UTF8")

    def _check_version(self, version: int) -> None:
        if version < OLDEST_VERSION:
            raise ServerVersionError(
                f"The server of {self.name} is PostgreSQL {version // 10000}; the platform needs "
                f"{OLDEST_VERSION // 10000} or newer. Upgrade the server, or set {self.name.upper()}_URL to another."
            )

    def _options(self) -> dict[str, object] | None:
        """The URL as libpq parses it; None if it is not valid, or if libpq would misread a part of the password."""
        given: dict[str, object] | None = None
        # The exception contains the URL, and with it the password.
        with suppress(psycopg.ProgrammingError, UnicodeError):
            self.url.encode()
            given = None if "\0" in self.url else dict(conninfo_to_dict(self.url))
        scheme, is_uri, rest = self.url.partition("://")
        if given is None or not is_uri or scheme not in {"postgresql", "postgres"}:
            return given
        has_port_of_digits = all(port.isdecimal() or not port for port in str(given.get("port", "")).split(","))
        return given if _URI.fullmatch(rest) and has_port_of_digits else None

    def _cannot_connect(self, conninfo: str, error: DriverError) -> TotesError:
        return named_connect_error(
            self.name,
            dict(conninfo_to_dict(conninfo)),
            error,
            was_reached=conninfo in _reached,
            probe=lambda: probe_refusal(conninfo),
        )
