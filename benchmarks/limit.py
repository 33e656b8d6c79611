"""The limit of a first load: psql's COPY of the same star rows into bare tables, then keys, indexes and references.

One table after the other, as a careful administrator would do it who has the rows already.
"""

import subprocess
import time
from dataclasses import dataclass

import psycopg
from psycopg import sql

from benchmarks.bench import Bench
from totes_dagster.local.programs import program
from totes_dagster.schema.registry import STAR_TABLES

_INDEXES = """
    select pg_get_indexdef(indexrelid) from pg_index
    where indrelid = %s::regclass and not exists (select from pg_constraint where conindid = indexrelid)
"""
_CONSTRAINTS = """
    select format('alter table %%s add constraint %%I %%s', conrelid::regclass, conname, pg_get_constraintdef(oid))
    from pg_constraint where conrelid = %s::regclass and contype = any (%s)
"""


@dataclass(frozen=True)
class Limit:
    """What copying took: the seconds of COPY, and those of keys, indexes and references."""

    copying: float
    constraints: float
    server_cpu: float

    @property
    def seconds(self) -> float:
        """All of it."""
        return self.copying + self.constraints


def copy_by_psql(bench: Bench, loaded: str) -> Limit:
    """Copy the star tables of a loaded warehouse to a new database, which is removed afterwards."""
    target = f"{loaded}_copied"
    bench.server.create_database(target)
    try:
        with (
            psycopg.connect(bench.server.url(loaded)) as theirs,
            psycopg.connect(bench.server.url(target), autocommit=True) as ours,
        ):
            for name in STAR_TABLES:
                ours.execute(_bare(theirs, name))
            cpu, started = bench.cpu_seconds(), time.perf_counter()
            for name in STAR_TABLES:
                _copy(bench, loaded, target, name)
            copied = time.perf_counter()
            for kinds in (["p"], ["f"]):
                for name in STAR_TABLES:
                    statements = theirs.execute(_CONSTRAINTS, [name, kinds]).fetchall()
                    if kinds == ["p"]:
                        statements += theirs.execute(_INDEXES, [name]).fetchall()
                    for (statement,) in statements:
                        ours.execute(statement)
            ended = time.perf_counter()
        return Limit(copied - started, ended - copied, bench.cpu_seconds() - cpu)
    finally:
        bench.drop(target)


def _bare(connection: psycopg.Connection, table: str) -> sql.Composed:
    """A statement that creates a table with the columns of another, and nothing else."""
    columns = connection.execute(
        "select attname, format_type(atttypid, atttypmod), attnotnull from pg_attribute "
        "where attrelid = %s::regclass and attnum > 0 and not attisdropped order by attnum",
        [table],
    ).fetchall()
    return sql.SQL("create table {} ({})").format(
        sql.Identifier(table),
        sql.SQL(", ").join(
            sql.SQL("{} {}{}").format(sql.Identifier(name), sql.SQL(type_), sql.SQL(" not null" if required else ""))
            for name, type_, required in columns
        ),
    )


def _copy(bench: Bench, loaded: str, target: str, table: str) -> None:
    psql = [str(program("psql")), "--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1"]
    out = [*psql, "--dbname", bench.server.url(loaded), "--command", f"copy {table} to stdout (format binary)"]
    in_ = [*psql, "--dbname", bench.server.url(target), "--command", f"copy {table} from stdin (format binary)"]
    with subprocess.Popen(out, stdout=subprocess.PIPE) as reading:  # noqa: S603 - our own command
        subprocess.run(in_, stdin=reading.stdout, check=True)  # noqa: S603
    if reading.returncode:
        raise subprocess.CalledProcessError(reading.returncode, out)
