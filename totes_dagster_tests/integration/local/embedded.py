"""What an embedded server can be asked."""

from pathlib import Path

import psutil
import psycopg

from totes_dagster.local.server import EmbeddedPostgres


def server_process(directory: Path) -> psutil.Process:
    return psutil.Process(int((directory / "data" / "postmaster.pid").read_text().splitlines()[0]))


def query(server: EmbeddedPostgres, statement: str) -> object:
    with psycopg.connect(server.url(), autocommit=True) as connection:
        row = connection.execute(statement).fetchone()
    assert row is not None
    return row[0]
