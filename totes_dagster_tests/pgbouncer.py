"""PgBouncer before a server of the tests: every client of a database shares a few sessions with all others."""

import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

from totes_dagster.local.programs import server_account
from totes_dagster.local.server import EmbeddedPostgres
from totes_dagster.runtime.processes import die_with_parent

POOL_SIZE = 4
"""Sessions of each database: those that a batch needs at once, and one."""

_PATIENCE = 30
_ports = itertools.count(6432)

_CONFIGURATION = """\
[databases]
* = host={server} port=5432 user=postgres pool_size={pool_size}

[pgbouncer]
listen_addr =
unix_socket_dir = {folder}
listen_port = {port}
auth_type = any
pool_mode = {mode}
server_round_robin = 1
logfile = {folder}/pgbouncer.log
"""


def program() -> str:
    """Where PgBouncer is; skips the test, aloud, where it is not installed."""
    found = shutil.which("pgbouncer", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))
    if found is None:
        pytest.skip("pgbouncer is not installed")
    return found


@contextmanager
def pooled(
    server: EmbeddedPostgres,
    *,
    mode: str = "transaction",
    pool_size: int = POOL_SIZE,
    further: str = "",
) -> Iterator[str]:
    """A PgBouncer before the databases of a server, with further lines of configuration.

    Yields:
        Its URI, in which `{}` stands for the database.
    """
    account, pgbouncer, port = server_account(), program(), next(_ports)
    with tempfile.TemporaryDirectory(prefix="totes-pool-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        file = folder / "pgbouncer.ini"
        socket_folder = Path(psycopg.conninfo.conninfo_to_dict(server.url())["host"])  # type: ignore[arg-type]
        file.write_text(
            _CONFIGURATION.format(server=socket_folder, folder=folder, port=port, mode=mode, pool_size=pool_size)
            + further
        )
        if account:
            os.chown(folder, account.uid, account.gid)
        process = subprocess.Popen(
            [pgbouncer, "--quiet", str(file)],
            user=account and account.uid,
            group=account and account.gid,
            extra_groups=account and [],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=die_with_parent(signal.SIGTERM),  # noqa: PLW1509 - it only makes a system call
        )
        try:
            while not _answers(folder / f".s.PGSQL.{port}"):
                assert process.poll() is None, (folder / "pgbouncer.log").read_text()
            yield f"postgresql://postgres@/{{}}?host={quote(str(folder), safe='')}&port={port}"
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(_PATIENCE)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0
