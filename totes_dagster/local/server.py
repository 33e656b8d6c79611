"""The embedded PostgreSQL server of the local stack: it starts with its first user and stops with its last.

Its lifetime is governed by locks, which the kernel releases when their holder dies, however it dies:

- `lease`: held, shared, by every process that uses the server. A guardian process (`guardian.py`) waits for it
  exclusively; once it has it, no process uses the server any more, and the guardian stops it. A new user waits for the
  lease meanwhile.
- `start.lock`: held by the one process that finds or starts the server, and also by the guardian until the server is
  ready. So nothing stays undecided if the starter is killed halfway.
- `guardian.lock`: held by the guardian. `server.lock`: held by the guardian and by every process of the server.

So a server never outlives its users, and a directory never has two servers.
"""

import contextlib
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import psycopg
from psycopg import errors, pq, sql

from totes_dagster.local.programs import (
    Account,
    EmbeddedServerError,
    make_private,
    open_to,
    program,
    run,
    server_account,
)

try:
    import fcntl
except ImportError:  # Windows; `start` raises a clear error
    fcntl = None  # type: ignore[assignment]

__all__ = ["SETTINGS", "EmbeddedPostgres", "EmbeddedServerError"]

SETTINGS: Mapping[str, str] = {
    "shared_buffers": "128MB",
    "max_connections": "100",
    "max_wal_size": "4GB",  # a first load should not be slowed by checkpoints
    "timezone": "UTC",
    "jit": "off",  # compilation costs more than it gains on a laptop's amounts of data
}
"""Default settings of an embedded server."""

_SUPERUSER = "postgres"
_PORT = 5432  # part of the socket's name; always given, because PGPORT changes the default of client and server
_LONGEST_SOCKET_PATH = 103  # bytes; 107 on Linux, 103 on macOS
_READY_TIMEOUT = 90.0  # seconds for a server that is shutting down, or recovering from a crashed session
_PING_TIMEOUT = 3  # seconds; without it a server that hangs would hang this process too
_POLL_SECONDS = 0.02
_LOG_LINES = 10


class EmbeddedPostgres:
    """A private PostgreSQL server, reachable through a Unix socket only, by this system user only.

    Each directory has one server. Every process that starts it shares it, and keeps it running until the process
    releases it or dies; a process forked from a user is a user as well. The server stops when the last user is gone;
    the data stay.

    Args:
        directory: the folder of `data/`, `postgres.log` and the locks. Created if missing.
        settings: PostgreSQL settings by name, which override `SETTINGS`. They have no effect on a running server.
    """

    def __init__(self, directory: Path, settings: Mapping[str, str] | None = None) -> None:
        self.directory = directory.resolve()
        self.data = self.directory / "data"
        self.log = self.directory / "postgres.log"
        self._settings = {**SETTINGS, **(settings or {})}
        self.socket_directory = _socket_directory(self.data)
        self._lease: int | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()

    def start(self) -> Self:
        """Make sure that the server accepts connections, and keep it until `release` or the end of this process.

        May be called again at any time, for example to replace a server that was killed.

        Raises:
            EmbeddedServerError: the server cannot be started.
        """
        if fcntl is None:
            raise EmbeddedServerError(
                f"The embedded PostgreSQL server needs Unix file locks, which {sys.platform} does not have. "
                "Set TOTESYS_URL and WAREHOUSE_URL to databases of your own."
            )
        held_before = self._lease is not None
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self._lease is None:
                self._lease = self._lock("lease", fcntl.LOCK_SH)  # waits while the server is being stopped
            with _closing(self._lock("start.lock")) as start_lock:
                self._ensure_running(start_lock)
        except BaseException as failure:
            if not held_before:
                self.release()
            if isinstance(failure, OSError):
                raise EmbeddedServerError(f"{self.directory} cannot keep a PostgreSQL server: {failure}") from failure
            raise
        return self

    def release(self) -> None:
        """Stop using the server, which stops unless another process uses it. Does not wait until it has stopped."""
        if self._lease is not None:
            # Closed, not unlocked: unlocking would also release the lease of a process forked from this one.
            os.close(self._lease)
            self._lease = None

    def url(self, database: str = "postgres") -> str:
        """The libpq URI of one of the server's databases; SQLAlchemy accepts it too."""
        return (
            f"postgresql://{_SUPERUSER}@/{quote(database, safe='')}"
            f"?host={quote(os.fsencode(self.socket_directory), safe='')}&port={_PORT}"
        )

    def create_database(self, name: str) -> bool:
        """Create a database unless it exists, also concurrently; return whether this call created it."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            if connection.execute("select from pg_database where datname = %s", [name]).rowcount:
                return False
            try:
                connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
            except (errors.DuplicateDatabase, errors.UniqueViolation):  # the latter from a concurrent creation
                return False
            return True

    def psql_command(self, database: str = "postgres") -> str:
        """A shell command that opens one of the running server's databases in psql."""
        return shlex.join([str(program("psql")), self.url(database)])

    def _ensure_running(self, start_lock: int) -> None:
        give_up_at = time.monotonic() + _READY_TIMEOUT
        while (server_lock := self._lock_if_free("server.lock")) is None:
            guardian_lock = self._lock_if_free("guardian.lock")
            if guardian_lock is not None:
                os.close(guardian_lock)
                self._stop_orphan()
            # A server without free connections answers OK as well. The locks, and the socket's folder, which no other
            # server uses, guarantee that it is the right one.
            elif pq.PGconn.ping(f"{self.url()}&connect_timeout={_PING_TIMEOUT}".encode()) == pq.Ping.OK:
                return
            if time.monotonic() > give_up_at:
                raise self._error(f"A server runs in {self.data} but accepts no connections", since=0)
            time.sleep(_POLL_SECONDS)  # it is stopping or recovering, which no single lock shows
        with _closing(server_lock):
            self._start_server(start_lock, server_lock)

    def _stop_orphan(self) -> None:
        """Stop a server whose guardian was killed, unless the kernel has already done so."""
        command = [str(program("pg_ctl")), "stop", "--pgdata", str(self.data), "--mode=fast", "--no-wait"]
        run(command, server_account())  # fails if the server has stopped already

    def _start_server(self, start_lock: int, server_lock: int) -> None:
        account = server_account()
        open_to(account, self.directory)
        if not self.data.exists():
            self._initialise(account, start_lock)
        if self.socket_directory != self.data:
            make_private(self.socket_directory, account)
        self._remove_stale_lock_files()
        with contextlib.ExitStack() as stack:
            guardian_lock = stack.enter_context(_closing(self._lock("guardian.lock")))
            log = stack.enter_context(os.fdopen(os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab"))
            since = log.tell()
            reader, writer = os.pipe()
            pipe = stack.enter_context(os.fdopen(reader))
            with _closing(writer):
                subprocess.run(  # noqa: S603 - our own interpreter on our own file
                    [
                        *(sys.executable, "-P", Path(__file__).with_name("guardian.py")),
                        *("--lease", self.directory / "lease", "--data", self.data),
                        *(() if self.socket_directory == self.data else ("--remove", self.socket_directory)),
                        *("--report", str(writer), "--start-lock", str(start_lock), "--server-lock", str(server_lock)),
                        *(() if account is None else ("--uid", str(account.uid), "--gid", str(account.gid))),
                        *("--", *self.server_command()),
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd="/",
                    pass_fds=[writer, start_lock, guardian_lock, server_lock],
                    start_new_session=True,  # Ctrl-C in the terminal must not reach the guardian
                    check=False,  # its report, or the lack of one, is what counts
                )
            report = pipe.read()  # empty from a guardian that died
        if report != "ready":  # READY in guardian.py, which cannot be imported everywhere
            raise self._error(f"The PostgreSQL server in {self.data} did not start: {report or 'no guardian'}", since)

    def _remove_stale_lock_files(self) -> None:
        """Remove the files that make PostgreSQL take a killed server for a running one.

        PostgreSQL only checks whether the process ID in them is in use. It is as long as the killed server has not been
        reaped, which in a container without an init is for ever, and if another process has got the ID since.
        """
        if sys.platform != "linux":
            return
        for file in (self.data / "postmaster.pid", self.socket_directory / f".s.PGSQL.{_PORT}.lock"):
            if file.exists():
                pid = file.read_text(errors="replace").partition("\n")[0].strip()
                try:
                    # A server's working directory is its data directory, even if it was started by hand without locks.
                    runs = Path(f"/proc/{pid}/cwd").samefile(self.data)
                except OSError:
                    runs = False
                if not runs:
                    file.unlink()

    def server_command(self) -> list[str]:
        """The command that runs the server, with its settings."""
        fixed = {
            "listen_addresses": "",
            "port": str(_PORT),
            # A list; quotes protect a comma in an element.
            "unix_socket_directories": '"' + str(self.socket_directory).replace('"', '""') + '"',
        }
        command = [str(program("postgres")), "-D", str(self.data)]
        for name, value in {**self._settings, **fixed}.items():
            command += ["-c", f"{name}={value}"]
        return command

    def _initialise(self, account: Account | None, start_lock: int) -> None:
        """Create the data directory, completely or not at all."""
        unfinished = self.directory / "data.new"
        if unfinished.exists():
            shutil.rmtree(unfinished)
        make_private(unfinished, account)
        command = [
            *(str(program("initdb")), "--pgdata", str(unfinished), "--username", _SUPERUSER, "--auth=trust"),
            # The same collation on every machine, whatever locales it has.
            *(["--no-sync"] if self._settings.get("fsync") == "off" else []),
            *("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
        ]
        done = run(command, account, hold=[start_lock])  # if the starter is killed, the next one waits for initdb
        if done.returncode:
            raise EmbeddedServerError(f"PostgreSQL could not initialise {unfinished}: {done.stdout.strip()}")
        unfinished.rename(self.data)

    def _lock(self, name: str, operation: int | None = None) -> int:
        """Open and lock a file; return its descriptor, which programs inherit only if it is passed to them."""
        descriptor = os.open(self.directory / name, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if operation is None else operation)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _lock_if_free(self, name: str) -> int | None:
        try:
            return self._lock(name, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None

    def _error(self, what: str, since: int) -> EmbeddedServerError:
        """An error with the last lines that the log has gained since it had this many bytes."""
        with self.log.open("rb") as log:
            log.seek(since)
            lines = log.read().decode(errors="replace").splitlines()[-_LOG_LINES:]
        return EmbeddedServerError("\n  ".join([f"{what}. The end of {self.log}:", *lines]))


def _socket_directory(data: Path) -> Path:
    """The data directory, unless the socket's path would be too long, or contain a comma, at which libpq splits it."""
    path = os.fsencode(data / f".s.PGSQL.{_PORT}")
    if len(path) <= _LONGEST_SOCKET_PATH and b"," not in path:
        return data
    # Not TMPDIR: all users of a server must compute the same path.
    return Path("/tmp") / f"totes-{hashlib.sha256(path).hexdigest()[:20]}"  # checked to be private  # noqa: S108  # nosec B108


@contextlib.contextmanager
def _closing(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)
