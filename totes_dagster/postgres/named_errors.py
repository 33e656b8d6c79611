"""Errors of PostgreSQL and its drivers as named errors: by SQLSTATE or, if there is none, by the message.

There is no SQLSTATE when a connection is lost; the message is then libpq's own, and always in English. The server's
messages are in the language of its `lc_messages`. They come without an SQLSTATE when the server refuses a connection,
which is why another attempt finds out the SQLSTATE (see `refusal.py`).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import quote

import psycopg

from totes_dagster.errors import (
    AccessDeniedError,
    ColumnMissingError,
    ConnectTimeoutError,
    DatabaseBusyError,
    DatabaseError,
    DatabaseMissingError,
    DatabaseUnavailableError,
    DiskFullError,
    EncryptionError,
    HostUnknownError,
    LoginRefusedError,
    PoolerError,
    PortClosedError,
    ReadOnlyServerError,
    RecoveryConflictError,
    SettingsError,
    TableMissingError,
    TotesError,
    one_line,
)
from totes_dagster.postgres.refusal import Refusal

DriverError: TypeAlias = psycopg.Error | UnicodeError
"""What psycopg raises; a UnicodeError comes from a host name that is not valid."""


@dataclass(frozen=True)
class _Kind:
    """A kind of failure.

    In the advice, `{name}` stands for the database's name, `{url}` for its setting, and `{at}` for its host and port.
    """

    error: type[DatabaseError]
    advice: str = ""


_UNAVAILABLE = _Kind(DatabaseUnavailableError, "Try again when the server is back.")
_BUSY = _Kind(DatabaseBusyError, "Try again when the other sessions have finished.")
_DISK_FULL = _Kind(DiskFullError, "Give the server of {name} more disk space. The transaction was rolled back.")
_REFUSED = _Kind(LoginRefusedError, "Check the user, the password and the database in {url} or in its secret.")
_NO_DATABASE = _Kind(DatabaseMissingError, "Check the database's name in {url} or in its secret, or create it.")
_DENIED = _Kind(
    AccessDeniedError,
    "Grant the user of {name} this privilege or, if only the owner has it, membership in the owner's role; or set "
    "{url} to a user who has it.",
)
_NO_TABLE = _Kind(
    TableMissingError, "Check that {url} names the right database, and check the search path of its user."
)
_NO_COLUMN = _Kind(
    ColumnMissingError, "Check that the tables of {name} are as this version of the platform declares them."
)
_READ_ONLY = _Kind(
    ReadOnlyServerError,
    "The server accepts no writes at the moment: it is a standby, or was made read-only, for example because its disk "
    "is nearly full. Set {url} to the primary, or free disk space.",
)
_CONFLICT = _Kind(
    RecoveryConflictError,
    "The server of {name} is a standby, and canceled the query so that recovery could continue. Set "
    "hot_standby_feedback = on there, raise its max_standby_streaming_delay, or set {url} to the primary.",
)
_POOLER = _Kind(
    PoolerError,
    "The connection pooler at {url} assigns a server connection for only one statement, but the platform needs "
    "transactions. Use a pool with pool_mode = transaction or session, or the server's own port.",
)
_POOL_SIZE = _Kind(
    PoolerError,
    "The connection pool at {url} is too small: the platform uses three connections at a time, and other clients need "
    "some too. Allow at least four.",
)
_POOL_OPTIONS = _Kind(PoolerError, "The connection pooler at {url} does not accept options: remove them from the URL.")
_LOCKS_FULL = _Kind(
    DatabaseUnavailableError,
    "The server of {name} has no room for more locks: raise max_locks_per_transaction there, or use fewer partitions.",
)
_SNAPSHOT_OLD = _Kind(
    DatabaseUnavailableError,
    "The server of {name} does not keep old row versions long enough: raise old_snapshot_threshold there.",
)
_UNENCRYPTED = _Kind(
    EncryptionError,
    "Set sslmode=require in {url}; if it is already set, the server has no rule for this user and this host.",
)
_OTHER = _Kind(DatabaseError)

_BY_SQLSTATE = (  # by the beginning of the SQLSTATE; the first match applies
    ("28", _REFUSED),
    ("3D000", _NO_DATABASE),
    ("42501", _DENIED),
    ("42P01", _NO_TABLE),
    ("42703", _NO_COLUMN),
    ("53100", _DISK_FULL),
    ("53200", _LOCKS_FULL),
    ("53300", _UNAVAILABLE),
    ("57P01", _UNAVAILABLE),
    ("57P02", _UNAVAILABLE),
    ("57P03", _UNAVAILABLE),
    ("57P05", _UNAVAILABLE),
    ("00000", _UNAVAILABLE),  # the server refused the connection, but accepted the second attempt
    ("08", _UNAVAILABLE),
    ("25006", _READ_ONLY),
    ("25P03", _UNAVAILABLE),
    ("25P04", _UNAVAILABLE),
    ("40001", _BUSY),
    ("40P01", _BUSY),
    ("55P03", _BUSY),
    ("57014", _BUSY),
    ("72000", _SNAPSHOT_OLD),
)

_AT_SOURCE = (
    # The source is only read, in one snapshot: only the recovery of a standby can conflict with that.
    ("40001", _CONFLICT),
)

_BY_POOLER = (  # messages of PgBouncer, which all have the SQLSTATE of a protocol violation
    (r"not allowed in statement pooling mode", _POOLER),
    (r"query_wait_timeout", _POOL_SIZE),
    (r"unsupported startup parameter", _POOL_OPTIONS),
    (r"bouncer config error", _Kind(PoolerError, "Check the configuration and the log of the connection pooler.")),
    (r"no such database", _NO_DATABASE),
    (r"no such user|\w+\W? authentication failed$", _REFUSED),
)

_BY_TEXT = (  # the first match applies
    (r"due to conflict with recovery", _CONFLICT),
    (r"the database system is |too many (clients|connections)|remaining connection slots", _UNAVAILABLE),
    (r"canceling statement due to|deadlock detected|could not serialize", _BUSY),
    (r"No space left on device", _DISK_FULL),
    (
        r"server closed the connection|no connection to the server|connection (is|was) (lost|closed)"
        r"|terminating connection (due to|because of)|SSL connection has been closed|EOF detected"
        r"|could not (send data to|receive data from) server|Connection reset by peer|Broken pipe",
        _UNAVAILABLE,
    ),
)

_BY_TEXT_AT_CONNECT = (
    # Before the patterns about encryption: libpq may try with and without it, and reports both failures.
    (
        r"password authentication failed|authentication failed for user|no password supplied"
        r"|role .* (does not exist|is not permitted to log in)",
        _REFUSED,
    ),
    (r"database .* does not exist", _NO_DATABASE),
    (r"permission denied for database", _DENIED),
    (r"pg_hba\.conf .*(no encryption|SSL off)", _UNENCRYPTED),
    (r"pg_hba\.conf .*(SSL|\[local\])|pg_hba\.conf rejects", _REFUSED),
    (
        r"server does not support SSL",
        _Kind(
            EncryptionError,
            "Enable TLS on the server, or set sslmode=disable in {url} if the network in between can be trusted.",
        ),
    ),
    (
        r"certificate|root\.crt",
        _Kind(
            EncryptionError,
            "Set sslrootcert in {url} to the certificate of the authority that signed the server's (sslrootcert=system "
            "for public authorities), and use the host name that is in the server's certificate.",
        ),
    ),
    (
        r"invalid response to SSL negotiation|expected authentication request",
        _Kind(
            DatabaseError, "The server that answers is not PostgreSQL: check host and port in {url} or in its secret."
        ),
    ),
    (r"SSL error|SSL SYSCALL|channel binding", _Kind(EncryptionError, "Check the TLS options in {url}.")),
    (
        r"failed to resolve host|could not translate host name|could not parse network address|'idna' codec",
        _Kind(HostUnknownError, "Check the host in {url} or in its secret; the server is expected {at}."),
    ),
    (
        r"Connection refused|No such file or directory",
        _Kind(PortClosedError, "Check that the server is running, and that it is {at}."),
    ),
    (
        r"timeout expired|timed out|No route to host|Network is unreachable",
        _Kind(
            ConnectTimeoutError,
            "Check that the server is {at}, and that no firewall or security group blocks the connection.",
        ),
    ),
)

_OPTION = re.compile(r"invalid .*value|invalid port number|weak sslmode|bad value for|definition of service")
"""Messages about an invalid option; psycopg and libpq validate options only when connecting."""

_PREAMBLE = re.compile(r"^connection (failed|is bad): ")
_SEVERITY = re.compile(r"\b(ERROR|FATAL|PANIC):  ")
_LINE = re.compile(r"\nLINE \d+: (.*)")
_EPILOGUE = re.compile(r"(\nLINE \d+: |\nCONTEXT: ).*", re.DOTALL)
"""What surrounds the server's own message: the driver's preamble, and the statement, which may be long."""


def named_error(name: str, operation: str, error: DriverError) -> DatabaseError:
    """The named error for a failure of a statement, of a stream of rows, or of their connection.

    Args:
        name: the platform's name for the database: `totesys` or `warehouse`.
        operation: what failed, for example `reading sales_order`.
        error: what the driver raised.

    Returns:
        An error of one line, to be raised from `error`. It is `transient` if the operation may succeed when repeated.
    """
    reason, sqlstate = reason_of(error), sqlstate_of(error)
    kind = _kind_of(sqlstate, reason, _BY_TEXT, name)
    where = "" if name in operation else f" at {name}"
    return kind.error(
        _sentences(f"{operation[:1].upper()}{operation[1:]} failed{where}: {reason}", _advice(kind, name)),
        sqlstate=sqlstate,
    )


def sqlstate_of(error: DriverError) -> str | None:
    """The SQLSTATE that the server reported; None if the error is not the server's."""
    return getattr(error, "sqlstate", None)


def reason_of(error: DriverError) -> str:
    """The server's own message in one line, with the line of the statement that it refers to."""
    *_, text = _SEVERITY.split(_PREAMBLE.sub("", str(error)), maxsplit=1)
    line = _LINE.search(text)
    message = _EPILOGUE.sub("", text).strip()
    return one_line(f"{message} (in: {line[1]})" if line else message)


def named_connect_error(
    name: str,
    options: dict[str, object],
    error: DriverError,
    *,
    was_reached: bool,
    probe: Callable[[], Refusal | None] = lambda: None,
) -> TotesError:
    """The named error for a failure to connect.

    Args:
        name: the platform's name for the database: `totesys` or `warehouse`.
        options: the connection options by their libpq names; the password does not appear in the message.
        error: what the driver raised.
        was_reached: whether this process has been connected to this database before. If so, a server that no longer
            answers is an outage, and transient. If not, a mistake in the settings is more likely, which is permanent.
        probe: connects once more and returns the server's refusal; called if the message is not recognized.

    Returns:
        An error of one line. Do not chain the driver's error, which may show the password.
    """
    reason = one_line(_PREAMBLE.sub("", str(error)))
    kind = _kind_of(sqlstate_of(error), reason, (*_BY_TEXT, *_BY_TEXT_AT_CONNECT), name)
    if kind is _OTHER and not _OPTION.search(reason) and (refusal := probe()):
        # The name of the file is the same in every language.
        without_rule = refusal.sqlstate == "28000" and "pg_hba.conf" in reason and not refusal.encrypted
        kind = _UNENCRYPTED if without_rule else _kind_of(refusal.sqlstate, reason, (), name)
    if was_reached and issubclass(kind.error, HostUnknownError | PortClosedError | ConnectTimeoutError):
        kind = _UNAVAILABLE
    password = str(options.get("password") or "")
    for spelling in filter(None, (password, quote(password, safe=""), quote(password))):
        reason = re.sub(rf"(?<!\w){re.escape(spelling)}(?!\w)", "***", reason)
    if _OPTION.search(reason):
        return SettingsError(f"An option in {_setting(name)} or in its secret is not valid: {reason}")
    host, port = options.get("hostaddr") or options.get("host"), options.get("port") or 5432
    at = " ".join(f"at {host}, port {port}".split()) if host else "on this machine"
    return kind.error(_sentences(f"Cannot connect to {name}: {reason}", _advice(kind, name, at)))


def _kind_of(sqlstate: str | None, reason: str, by_text: tuple[tuple[str, _Kind], ...], name: str) -> _Kind:
    if sqlstate is None:
        return _first_match((*_BY_POOLER, *by_text), reason) or _OTHER
    if sqlstate.startswith("08") and (kind := _first_match(_BY_POOLER, reason)):
        return kind
    by_sqlstate = (*_AT_SOURCE, *_BY_SQLSTATE) if name == "totesys" else _BY_SQLSTATE
    return next((kind for code, kind in by_sqlstate if sqlstate.startswith(code)), _OTHER)


def _first_match(by_text: tuple[tuple[str, _Kind], ...], reason: str) -> _Kind | None:
    return next((kind for pattern, kind in by_text if re.search(pattern, reason)), None)


def _advice(kind: _Kind, name: str, at: str = "") -> str:
    return kind.advice.format(name=name, url=_setting(name), at=at)


def _setting(name: str) -> str:
    return f"{name.upper()}_URL"


def _sentences(*sentences: str) -> str:
    return " ".join(filter(None, sentences))
