"""Every way in which a connection does not come about: told apart, in one line, with what to do, without a password."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

from totes_dagster.errors import (
    AccessDeniedError,
    ConnectTimeoutError,
    DatabaseError,
    DatabaseMissingError,
    DatabaseUnavailableError,
    EncryptionError,
    HostUnknownError,
    LoginRefusedError,
    PortClosedError,
    SettingsError,
    TotesError,
)
from totes_dagster.postgres.database import Database
from totes_dagster_tests.exposure import assert_clear
from totes_dagster_tests.system.errors.certificates import Certificate, self_signed
from totes_dagster_tests.tcp_postgres import PASSWORD, TcpPostgres
from totes_dagster_tests.wires import answer, fatal_error, listening, silence, tls_to, wire_to


def uri(
    port: int, *, user: str = "reader", database: str = "postgres", host: str = "127.0.0.1", query: str = ""
) -> str:
    return f"postgresql://{user}:{quote(PASSWORD, safe='')}@{host}:{port}/{database}?{query}"


def refused(url: str) -> TotesError:
    """The error of connecting, after seeing that it is clear."""
    with pytest.raises(TotesError) as raised, Database("totesys", url).connect():
        pass
    assert str(raised.value).startswith(("Cannot connect to totesys: ", "An option in TOTESYS_URL"))
    return assert_clear(raised.value, PASSWORD)


def assert_named(error: TotesError, kind: type[TotesError], *words: str) -> None:
    assert type(error) is kind, error
    for word in words:
        assert word in str(error)


def test_who_knows_the_password_gets_in(server: TcpPostgres) -> None:
    with Database("totesys", uri(server.port)).connect() as connection:
        assert connection.execute("select current_user").fetchone() == ("reader",)


def test_an_unknown_host_is_said() -> None:
    error = refused(uri(5432, host="no-such-host.invalid"))
    assert_named(error, HostUnknownError, "no-such-host.invalid", "Check the host in TOTESYS_URL")


@pytest.mark.parametrize("host", ["a..b", "x" * 70])
def test_a_host_that_cannot_be_one_is_said(host: str) -> None:
    assert_named(refused(uri(5432, host=host)), HostUnknownError, host)


def test_a_closed_port_is_said() -> None:
    with listening(silence) as there:
        pass
    words = ("127.0.0.1", str(there.port), "Connection refused")
    assert_named(refused(uri(there.port)), PortClosedError, *words)


def test_a_missing_socket_is_said(tmp_path: Path) -> None:
    assert_named(refused(f"host={tmp_path} dbname=totesys"), PortClosedError, f"{tmp_path}/.s.PGSQL.5432")


@pytest.fixture
def full_port() -> Iterator[int]:
    """A port whose queue is full: the kernel drops what is sent to it, as a firewall does."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        queued = [socket.socket() for _ in range(3)]
        for each in queued:
            each.setblocking(False)
            each.connect_ex(address)
        yield address[1]
        for each in queued:
            each.close()


def test_a_host_that_lets_nothing_through_is_said(full_port: int) -> None:
    error = refused(uri(full_port, query="connect_timeout=1"))
    assert_named(error, ConnectTimeoutError, "timeout expired", f"127.0.0.1, port {full_port}", "firewall")


def test_a_server_that_never_answers_is_said() -> None:
    with listening(silence) as there:
        error = refused(uri(there.port, query="connect_timeout=1"))
    assert_named(error, ConnectTimeoutError, "timeout expired", f"127.0.0.1, port {there.port}", "firewall")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql://reader:wr0ng@127.0.0.1:{port}/postgres", 'password authentication failed for user "reader"'),
        ("postgresql://reader@127.0.0.1:{port}/postgres?passfile=/nowhere", "no password supplied"),
        ("postgresql://nobody@127.0.0.1:{port}/postgres", 'role "nobody" does not exist'),
        ("postgresql://retired@127.0.0.1:{port}/postgres", 'role "retired" is not permitted to log in'),
    ],
    ids=["wrong password", "no password", "unknown user", "not permitted"],
)
def test_a_refused_login_is_said(server: TcpPostgres, url: str, reason: str) -> None:
    error = assert_clear(refused(url.format(port=server.port)), "wr0ng")
    assert_named(error, LoginRefusedError, reason, "Check the user, the password and the database in TOTESYS_URL")


def test_a_missing_database_is_said(server: TcpPostgres) -> None:
    error = refused(uri(server.port, database="no_such_db"))
    assert_named(error, DatabaseMissingError, 'database "no_such_db" does not exist', "TOTESYS_URL")


def test_a_database_that_one_may_not_connect_to_is_said(server: TcpPostgres) -> None:
    error = refused(uri(server.port, database="closed"))
    assert_named(error, AccessDeniedError, 'permission denied for database "closed"', "CONNECT", "Grant the user of")


def test_a_server_without_tls_is_said(server: TcpPostgres) -> None:
    error = refused(uri(server.port, query="sslmode=require"))
    assert_named(error, EncryptionError, "server does not support SSL", "sslmode=disable in TOTESYS_URL")


def test_a_host_that_is_not_this_machine_must_encrypt_unless_told_otherwise(
    server: TcpPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PGSSLMODE", raising=False)
    elsewhere = uri(server.port, host="127.1")  # a spelling of 127.0.0.1 that is not in our list
    assert_named(refused(elsewhere), EncryptionError, "server does not support SSL")
    with Database("totesys", f"{elsewhere}sslmode=disable").connect():
        pass


@pytest.mark.parametrize("user", ["encrypted", "unlisted"])
def test_a_server_that_requires_tls_is_said(server: TcpPostgres, user: str) -> None:
    """It has rules for connections with TLS, and one that rejects the others, or none for them."""
    error = refused(uri(server.port, user=user, query="sslmode=disable"))
    assert_named(error, EncryptionError, f'user "{user}"', "no encryption", "Set sslmode=require in TOTESYS_URL")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return self_signed("localhost", tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def tls(server: TcpPostgres, certificate: Certificate) -> Iterator[Callable[..., str]]:
    """A function that gives the server's URI with TLS, with these options."""
    with listening(tls_to(server.port, certificate.server)) as there:
        yield lambda query, host="localhost": uri(there.port, host=host, query=query)


def test_a_certificate_that_can_be_verified_is_trusted(tls: Callable[..., str], certificate: Certificate) -> None:
    url = tls(f"sslmode=verify-full&sslrootcert={certificate.file}")
    with Database("totesys", url).connect() as connection:
        assert connection.execute("select 1").fetchone() == (1,)


def test_a_certificate_of_an_unknown_authority_is_said(tls: Callable[..., str], tmp_path: Path) -> None:
    other = self_signed("localhost", tmp_path)
    error = refused(tls(f"sslmode=verify-full&sslrootcert={other.file}"))
    assert_named(error, EncryptionError, "certificate verify failed", "sslrootcert in TOTESYS_URL")


def test_a_certificate_of_another_host_is_said(tls: Callable[..., str], certificate: Certificate) -> None:
    error = refused(tls(f"sslmode=verify-full&sslrootcert={certificate.file}", host="127.0.0.1"))
    assert_named(error, EncryptionError, 'certificate for "localhost"', 'does not match host name "127.0.0.1"')


def test_a_missing_authority_is_said(tls: Callable[..., str]) -> None:
    error = refused(tls("sslmode=verify-full&sslrootcert=/nowhere.crt"))
    assert_named(error, EncryptionError, '"/nowhere.crt" does not exist', "sslrootcert in TOTESYS_URL")


@pytest.mark.parametrize("sslmode", ["disable", "require"])
def test_what_is_not_postgresql_is_said(sslmode: str) -> None:
    with listening(answer(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as there:
        error = refused(uri(there.port, query=f"sslmode={sslmode}"))
    assert_named(error, DatabaseError, "The server that answers is not PostgreSQL", str(there.port))


@pytest.mark.parametrize(
    "reply",
    [
        fatal_error("57P03", "the database system is starting up"),
        fatal_error("53300", "sorry, too many clients already"),
        fatal_error("57P01", "terminating connection due to administrator command"),
        b"",
    ],
    ids=["starting up", "too many clients", "shutting down", "hangs up"],
)
def test_a_server_that_cannot_take_us_now_is_worth_another_attempt(reply: bytes) -> None:
    with listening(answer(reply)) as there:
        error = refused(uri(there.port, query="sslmode=disable"))
    assert_named(error, DatabaseUnavailableError)
    assert error.transient


def test_a_user_with_too_many_connections_is_worth_another_attempt(server: TcpPostgres) -> None:
    error = refused(f"postgresql://limited@127.0.0.1:{server.port}/postgres")
    assert_named(error, DatabaseUnavailableError, 'too many connections for role "limited"')


def test_who_was_connected_before_takes_a_closed_port_for_an_outage(server: TcpPostgres) -> None:
    """A mistake in the settings fails at once; a server that is being restarted is worth another attempt."""
    with listening(wire_to(server.port)) as there:
        database = Database("totesys", uri(there.port))
        with database.connect():
            pass
    error = refused(database.url)
    assert_named(error, DatabaseUnavailableError, "Connection refused")
    assert error.transient
    assert_named(refused(database.url.replace("reader", "visitor")), PortClosedError)


def test_a_server_that_tells_our_password_is_not_quoted() -> None:
    with listening(answer(fatal_error("28000", f"{PASSWORD} is wrong, so is {quote(PASSWORD, safe='')}"))) as there:
        error = refused(uri(there.port, query="sslmode=disable"))
    assert "*** is wrong, so is ***" in str(error)


@pytest.mark.parametrize("option", ["connect_timeout=soon", "sslmode=perhaps", "target_session_attrs=any-but-this"])
def test_an_option_that_makes_no_sense_is_a_matter_of_settings(server: TcpPostgres, option: str) -> None:
    error = refused(uri(server.port, query=option))
    assert_named(error, SettingsError, option.split("=")[1])


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://reader:half@other-half@127.0.0.1/db",
        "postgresql://reader:half/other-half@127.0.0.1/db",
        "postgresql://reader:half/5432@127.0.0.1/db",
        "postgresql://reader:5432/other-half@127.0.0.1",
        "postgresql://reader:half?@other-half@127.0.0.1/db",
        "postgresql://reader:other-half/db",
    ],
)
def test_a_password_that_is_not_percent_encoded_is_not_taken_for_a_host_and_shown(url: str) -> None:
    with pytest.raises(SettingsError) as raised, Database("totesys", url).connect():
        pass
    assert "percent-encode" in str(assert_clear(raised.value, "half", "other-half"))


def test_nothing_lasting_is_taken_for_passing() -> None:
    lasting = (HostUnknownError, PortClosedError, ConnectTimeoutError, EncryptionError, LoginRefusedError)
    assert not any(kind.transient for kind in (*lasting, DatabaseMissingError, AccessDeniedError, DatabaseError))


def test_a_block_is_ended_as_before(server: TcpPostgres) -> None:
    database = Database("totesys", server.url())
    with pytest.raises(ZeroDivisionError), database.transaction() as connection:
        connection.execute("create table public.undone ()")
        raise ZeroDivisionError
    with psycopg.connect(server.url()) as check:
        assert check.execute("select to_regclass('undone')").fetchone() == (None,)
    assert connection.closed
