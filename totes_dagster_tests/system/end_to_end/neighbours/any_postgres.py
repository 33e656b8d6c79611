"""Servers of PostgreSQL that the embedded one cannot be: of other versions, and standbys."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from totes_dagster.local.programs import make_private, run, server_account
from totes_dagster.runtime.processes import die_with_parent
from totes_dagster_tests.servers import FAST_SETTINGS

_PORT = 5432  # of a socket, a part of its name
_PATIENCE = 60  # seconds


class Server:
    """A server that runs until its block ends.

    Args:
        programs: the folder of PostgreSQL's programs.
        data: its data folder.
    """

    def __init__(self, programs: Path, data: Path) -> None:
        self._programs = programs
        self.data = data
        self.sockets = data.with_name(f"{data.name}-sockets")
        self.process: subprocess.Popen[bytes] | None = None

    @classmethod
    def new(cls, programs: Path, data: Path) -> "Server":
        """A server with nothing in it."""
        _make(data)
        made = cls(programs, data)
        made.run("initdb", "-D", str(data), "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "-N")
        return made

    def standby(self, data: Path, programs: Path) -> "Server":
        """A standby of this server, which follows it once it runs."""
        _make(data)
        made = Server(programs, data)
        made.run("pg_basebackup", "-D", str(data), "-d", self.url(), "--checkpoint=fast", "-R", "--no-sync")
        return made

    def copy(self, data: Path) -> "Server":
        """A server with a copy of this one's files, which must not run."""
        assert self.process is None
        data.parent.chmod(0o711)
        shutil.copytree(self.data, data, copy_function=shutil.copy2)
        account = server_account()
        if account:
            for path in (data, *data.rglob("*")):
                os.chown(path, account.uid, account.gid, follow_symlinks=False)
        data.chmod(0o700)
        return Server(self._programs, data)

    @contextmanager
    def running(self, settings: Mapping[str, str] | None = None) -> Iterator["Server"]:
        """Run the server while the block lasts."""
        account = server_account()
        make_private(self.sockets, account)
        fixed = {"listen_addresses": "", "port": str(_PORT), "unix_socket_directories": str(self.sockets)}
        arguments = [f"--{name}={value}" for name, value in {**FAST_SETTINGS, **fixed, **(settings or {})}.items()]
        with (self.data.with_suffix(".log")).open("ab") as log:
            self.process = subprocess.Popen(
                [str(self._programs / "postgres"), "-D", str(self.data), *arguments],
                user=account and account.uid,
                group=account and account.gid,
                extra_groups=account and [],
                cwd="/",
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent(signal.SIGQUIT),  # noqa: PLW1509 - it only makes a system call
            )
        try:
            self._wait_until_it_answers()
            yield self
        finally:
            self.stop()

    def stop(self) -> None:
        """Stop the server in order, unless it has stopped."""
        if self.process:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(_PATIENCE)
            self.process = None

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@/{database}?host={quote(str(self.sockets), safe='')}&port={_PORT}"

    def create_database(self, name: str) -> str:
        """Create a database; its URI."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        return self.url(name)

    def ask(self, query: str) -> object:
        """The one value that a query returns."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            ((value,),) = connection.execute(query).fetchall()
            return value

    def run(self, program: str, *arguments: str) -> None:
        """Run a program as the server's user to its end, which must be a good one."""
        done = run([str(self._programs / program), *arguments], server_account())
        assert done.returncode == 0, done.stdout

    def _wait_until_it_answers(self) -> None:
        assert self.process
        while self.process.poll() is None:
            with suppress(psycopg.OperationalError), psycopg.connect(self.url()):
                return
        raise AssertionError(self.data.with_suffix(".log").read_text(errors="replace")[-2000:])


def _make(data: Path) -> None:
    """Make a data folder of the server's user, who can pass through the one above it."""
    data.parent.chmod(0o711)
    make_private(data, server_account())
