"""The embedded server starts, stops and comes back, whoever of those who use it or watch over it is killed."""

import contextlib
import fcntl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from totes_dagster.local.server import EmbeddedPostgres
from totes_dagster_tests.integration.local.embedded import query, server_process
from totes_dagster_tests.servers import FAST_SETTINGS, wait_until_stopped

pytestmark = pytest.mark.slow

_USER = """
import sys
from pathlib import Path
from totes_dagster.local.server import EmbeddedPostgres

server = EmbeddedPostgres(Path(sys.argv[1]), dict(setting.split("=") for setting in sys.argv[2:])).start()
print(server.create_database("shared"), flush=True)
sys.stdin.read()
"""


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


@pytest.fixture
def new_user(directory: Path) -> Iterator[Callable[[], User]]:
    with contextlib.ExitStack() as users:

        def create() -> User:
            user = User(directory)
            users.callback(user.end)
            return user

        yield create


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
