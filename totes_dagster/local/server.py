"""The embedded PostgreSQL server of the local stack: started when first used, gone when last used.

Its lifetime is in locks that the kernel drops when their holder dies, however it dies:

- `lease`: held, shared, by every process that uses the server. A guardian process (`guardian.py`) waits to hold it
  alone, for then nobody uses the server any more: it stops it, and whoever comes meanwhile waits for the lease.
- `start.lock`: held by the one process that looks for the server or starts it, and also by the guardian until the
  server is ready, so that a starter that is killed halfway leaves nothing undecided.
- `guardian.lock`: held by the guardian. `server.lock`: held by the guardian and by every process of the server.

So a server never outlives its users, and one directory never has two.
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
except ImportError:  # Windows; said clearly when a server is started
    fcntl = None  # type: ignore[assignment]

__all__ = ["SETTINGS", "EmbeddedPostgres", "EmbeddedServerError"]

SETTINGS: Mapping[str, str] = {
    "shared_buffers": "128MB",
    "max_connections": "100",
    "max_wal_size": "4GB",  # a first load should not be slowed by checkpoints
    "timezone": "UTC",
    "jit": "off",  # compiling costs more than it gains on a laptop's amounts of data
}
"""What an embedded server is told unless something else is asked for."""

_SUPERUSER = "postgres"
_PORT = 5432  # of a socket, a part of its name; always said, because PGPORT would change the default of either side
_LONGEST_SOCKET_PATH = 103  # bytes; 107 on Linux, 103 on macOS
_SETTLE_TIMEOUT = 90.0  # seconds for a server that is on its way down, or recovering from a crash of a session
_PING_TIMEOUT = 3  # seconds; without it a server that hangs would hang us too
_LOOK_EVERY = 0.02  # seconds
_LOG_LINES = 10


class EmbeddedPostgres:
    """A PostgreSQL server of our own, reachable by a Unix socket only and by this system user only.

    Every process that starts it shares the one server of its directory, and keeps it running until it releases it or
    dies; also a process forked from one that does counts as a user. When the last user is gone the server stops, and
    the data stay.

    Args:
        directory: where everything is kept: `data/`, `postgres.log` and the locks. Made when missing.
        settings: PostgreSQL settings by name, before `SETTINGS`. They have no effect on a server that already runs.
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
        """See that the server accepts connections, and keep it until `release` or the end of this process.

        May be called again at any time, for instance to replace a server that was killed.

        Raises:
            EmbeddedServerError: there is no server to be had.
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
                self._see_that_it_runs(start_lock)
        except BaseException as failure:
            if not held_before:
                self.release()
            if isinstance(failure, OSError):
                raise EmbeddedServerError(f"{self.directory} cannot keep a PostgreSQL server: {failure}") from failure
            raise
        return self

    def release(self) -> None:
        """Stop using the server, which stops it unless somebody else uses it. Does not wait for that."""
        if self._lease is not None:
            # Closed, not unlocked: unlocking would also take the lease from a process forked from this one.
            os.close(self._lease)
            self._lease = None

    def url(self, database: str = "postgres") -> str:
        """Return the libpq URI of one of the server's databases; ADBC and SQLAlchemy take it too."""
        return (
            f"postgresql://{_SUPERUSER}@/{quote(database, safe='')}"
            f"?host={quote(os.fsencode(self.socket_directory), safe='')}&port={_PORT}"
        )

    def create_database(self, name: str) -> bool:
        """Create a database unless it exists, whoever else is trying the same; True when this call created it."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            if connection.execute("select from pg_database where datname = %s", [name]).rowcount:
                return False
            try:
                connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
            except (errors.DuplicateDatabase, errors.UniqueViolation):  # the latter from one created at this moment
                return False
            return True

    def psql_command(self, database: str = "postgres") -> str:
        """Return a line for a shell that opens one of the running server's databases in psql."""
        return shlex.join([str(program("psql")), self.url(database)])

    def _see_that_it_runs(self, start_lock: int) -> None:
        give_up_at = time.monotonic() + _SETTLE_TIMEOUT
        while (server_lock := self._lock_if_free("server.lock")) is None:
            guardian_lock = self._lock_if_free("guardian.lock")
            if guardian_lock is not None:
                os.close(guardian_lock)
                self._stop_orphan()
            # A server that only has no connection to spare answers OK as well. That it is the right one follows from
            # the locks and from the socket's folder, which is this server's alone.
            elif pq.PGconn.ping(f"{self.url()}&connect_timeout={_PING_TIMEOUT}".encode()) == pq.Ping.OK:
                return
            if time.monotonic() > give_up_at:
                raise self._error(f"A server runs in {self.data} but accepts no connections", since=0)
            time.sleep(_LOOK_EVERY)  # it is stopping or recovering; neither can be waited for by a lock alone
        with _closing(server_lock):
            self._start_server(start_lock, server_lock)

    def _stop_orphan(self) -> None:
        """Stop a server whose guardian was killed, where the kernel has not already done so."""
        command = [str(program("pg_ctl")), "stop", "--pgdata", str(self.data), "--mode=fast", "--no-wait"]
        run(command, server_account())  # fails when the server went first

    def _start_server(self, start_lock: int, server_lock: int) -> None:
        account = server_account()
        open_to(account, self.directory)
        if not self.data.exists():
            self._initialise(account, start_lock)
        if self.socket_directory != self.data:
            make_private(self.socket_directory, account)
        self._forget_killed_server()
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
                    start_new_session=True,  # Ctrl-C in the terminal is for us, not for the guardian
                    check=False,  # what it reports, or fails to report, tells
                )
            report = pipe.read()  # to its end, which is all that comes from a guardian that died
        if report != "ready":  # READY in guardian.py, which cannot be imported everywhere
            raise self._error(f"The PostgreSQL server in {self.data} did not start: {report or 'no guardian'}", since)

    def _forget_killed_server(self) -> None:
        """Remove what makes PostgreSQL take a killed server for a running one.

        It only asks whether the process number that the killed one left behind is in use. It is while nobody has
        reaped that one, for ever in a container without an init, and when another process got the number since.
        """
        if sys.platform != "linux":
            return
        for file in (self.data / "postmaster.pid", self.socket_directory / f".s.PGSQL.{_PORT}.lock"):
            if file.exists():
                number = file.read_text(errors="replace").partition("\n")[0].strip()
                try:
                    # A server works in its data directory, also one that somebody started by hand, without our locks.
                    runs = Path(f"/proc/{number}/cwd").samefile(self.data)
                except OSError:
                    runs = False
                if not runs:
                    file.unlink()

    def server_command(self) -> list[str]:
        """The command that runs the server, with its settings."""
        fixed = {
            "listen_addresses": "",
            "port": str(_PORT),
            # A list, whose elements may be quoted.
            "unix_socket_directories": '"' + str(self.socket_directory).replace('"', '""') + '"',
        }
        command = [str(program("postgres")), "-D", str(self.data)]
        for name, value in {**self._settings, **fixed}.items():
            command += ["-c", f"{name}={value}"]
        return command

    def _initialise(self, account: Account | None, start_lock: int) -> None:
        """Make the data directory, whole or not at all."""
        unfinished = self.directory / "data.new"
        if unfinished.exists():
            shutil.rmtree(unfinished)
        make_private(unfinished, account)
        command = [
            *(str(program("initdb")), "--pgdata", str(unfinished), "--username", _SUPERUSER, "--auth=trust"),
            # The same order of text on every machine, whatever its own locale is or lacks.
            *(["--no-sync"] if self._settings.get("fsync") == "off" else []),
            *("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
        ]
        done = run(command, account, hold=[start_lock])  # a starter that is killed must not leave it to the next
        if done.returncode:
            raise EmbeddedServerError(f"PostgreSQL could not initialise {unfinished}: {done.stdout.strip()}")
        unfinished.rename(self.data)

    def _lock(self, name: str, operation: int | None = None) -> int:
        """Open a lock's file and lock it; a descriptor, which no program started from here inherits by itself."""
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
        """Make an error with the last lines that the log gained since it had this many bytes."""
        with self.log.open("rb") as log:
            log.seek(since)
            lines = log.read().decode(errors="replace").splitlines()[-_LOG_LINES:]
        return EmbeddedServerError("\n  ".join([f"{what}. The end of {self.log}:", *lines]))


def _socket_directory(data: Path) -> Path:
    """Choose the data directory itself, unless that makes too long a path, or one that clients take for a list."""
    path = os.fsencode(data / f".s.PGSQL.{_PORT}")
    if len(path) <= _LONGEST_SOCKET_PATH and b"," not in path:
        return data
    # Not TMPDIR: all users of a server must arrive at the same place.
    return Path("/tmp") / f"totes-{hashlib.sha256(path).hexdigest()[:20]}"  # checked to be private  # noqa: S108  # nosec B108


@contextlib.contextmanager
def _closing(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)
