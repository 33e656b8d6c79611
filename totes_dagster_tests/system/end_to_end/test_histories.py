"""Sources whose transaction ids cannot be taken at face value: other clusters, restored backups, wrapped-around ids."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from totes_dagster.local.programs import program, run, server_account
from totes_dagster.local.server import EmbeddedPostgres
from totes_dagster.postgres.database import Database
from totes_dagster.schema.totesys import SOURCE_TABLES, Capture
from totes_dagster.simulator.seeding import seed
from totes_dagster_tests.servers import FAST_SETTINGS, server_folder, wait_until_stopped
from totes_dagster_tests.world import UNTIL, World

pytestmark = pytest.mark.slow

EDIT = "update sales_order set units_sold = units_sold + 1 where sales_order_id = {}"
TRANSACTION_IDS = 2**32
XIDS_PER_FILE = 2**20


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for a server."""
    with server_folder() as folder:
        yield folder / "cluster"


@contextmanager
def running(folder: Path) -> Iterator[EmbeddedPostgres]:
    """A server of this folder, which has stopped when the block ends."""
    with EmbeddedPostgres(folder, {**FAST_SETTINGS, "max_prepared_transactions": "2", "autovacuum": "off"}) as server:
        yield server
    wait_until_stopped(folder)


def company_of(server: EmbeddedPostgres, world: World) -> World:
    """The world with its source on this server."""
    return World(replace(world.platform, source=Database("totesys", server.url("totesys"))))


def founded(server: EmbeddedPostgres, world: World) -> World:
    """A company on this server, with the same rows as every other of its size."""
    server.create_database("totesys")
    seed(server.url("totesys"), orders=60, until=UNTIL)
    return company_of(server, world)


def spend_transaction_ids(url: str, count: int) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            f"do $$ begin for i in 1 .. {count} loop perform pg_current_xact_id(); commit; end loop; end $$"
        )


def test_a_source_that_moves_to_another_cluster_is_captured_anew(company: World, folder: Path) -> None:
    with running(folder) as server:
        moved = founded(server, company)
        moved.change(EDIT.format(7), "delete from sales_order where sales_order_id = 8")
        manifest = moved.refresh().ingested.batch
        assert manifest is not None
        assert {name for name, entry in manifest.tables.items() if entry.content is Capture.WHOLE} == set(SOURCE_TABLES)
        assert moved.wrongs() == []
        assert moved.versions("fact_sales_order", 7) == ["live", "live"]
        assert moved.versions("fact_sales_order", 8) == ["live", "deleted"]
        # All else is as it was, and no second version says it again.
        assert moved.ask_one("select count(*) from fact_sales_order") == 62
        assert moved.ask_one("select count(*) from fact_payment where batch > 1") == 0
        assert moved.refresh().ingested.batch is None


def test_a_source_restored_from_a_copy_of_its_files_is_captured_anew(unseen_company: World, folder: Path) -> None:
    backup = folder.with_name("backup")
    with running(folder) as server:
        founded(server, unseen_company).refresh()
    subprocess.run(["cp", "-a", folder, backup], check=True)
    with running(folder) as server:
        lost = company_of(server, unseen_company)
        spend_transaction_ids(lost.source_url, 100)
        for key in (7, 8):
            lost.change(EDIT.format(key))
            lost.refresh()
        lost.change("delete from sales_order where sales_order_id = 9")
        lost.refresh()
        assert lost.wrongs() == []
    # What happened since the copy never happened; the ids of its transactions are given out a second time.
    with running(backup) as server:
        restored = company_of(server, unseen_company)
        restored.change(EDIT.format(8), EDIT.format(10))
        restored.refresh()
        assert restored.wrongs() == []
        assert restored.versions("fact_sales_order", 7) == ["live", "live", "live"]
        assert restored.versions("fact_sales_order", 8) == ["live", "live"]
        assert restored.versions("fact_sales_order", 9) == ["live", "deleted", "live"]
        assert restored.versions("fact_sales_order", 10) == ["live", "live"]
        assert restored.refresh().ingested.batch is None


def test_a_prepared_transaction_is_not_lost_however_late_it_commits(unseen_company: World, folder: Path) -> None:
    with running(folder) as server:
        company = founded(server, unseen_company)
        company.refresh()
        with psycopg.connect(company.source_url, autocommit=True) as connection:
            for statement in ("begin", EDIT.format(7), "prepare transaction 'late'"):
                connection.execute(statement)
            company.change(EDIT.format(8))
            company.refresh()
            assert company.wrongs(strict=True) == []
            connection.execute("commit prepared 'late'")
        company.refresh()
        assert company.wrongs(strict=True) == []
        assert company.versions("fact_sales_order", 7) == ["live", "live"]
        assert company.versions("fact_sales_order", 8) == ["live", "live"]


def test_nothing_is_lost_or_doubled_when_transaction_ids_wrap_around(unseen_company: World, folder: Path) -> None:
    bring_near_wraparound(folder, remaining=600)
    with running(folder) as server:
        company = founded(server, unseen_company)
        company.refresh()
        with company.transaction() as late:
            late.execute(EDIT.format(7))
            company.change(EDIT.format(8), "delete from sales_order where sales_order_id = 11")
            company.refresh()
            assert company.wrongs() == []
            spend_transaction_ids(company.source_url, 1_000)
            company.change(EDIT.format(9), "update department set location = 'Atlantis' where department_id = 1")
            company.refresh()
            assert company.wrongs() == []
        assert newest_id(company) > TRANSACTION_IDS
        company.refresh()
        assert company.wrongs() == []
        company.change(EDIT.format(10), "delete from sales_order where sales_order_id = 12")
        company.refresh()
        assert company.wrongs() == []
        for key in (7, 8, 9, 10):
            assert company.versions("fact_sales_order", key) == ["live", "live"]
        for key in (11, 12):
            assert company.versions("fact_sales_order", key) == ["live", "deleted"]
        assert company.ask_one("select count(*) from fact_sales_order") == 60 + 4 + 2
        assert company.refresh().ingested.batch is None


def newest_id(world: World) -> int:
    with psycopg.connect(world.source_url) as connection:
        (newest,) = connection.execute("select pg_snapshot_xmax(pg_current_snapshot())::text::bigint").fetchall()[0]
        return newest


def bring_near_wraparound(folder: Path, *, remaining: int) -> None:
    """Let a new server begin with a transaction id that is so far from the last one of 32 bits."""
    with running(folder) as server:
        with psycopg.connect(server.url(), autocommit=True) as connection:
            connection.execute("alter database template0 allow_connections true")
        for database in ("template0", "template1", "postgres"):
            with psycopg.connect(server.url(database), autocommit=True) as connection:
                connection.execute("vacuum freeze")  # so that the ids of all rows that there are do not matter
    newest = TRANSACTION_IDS - remaining
    command = [str(program("pg_resetwal")), "-x", str(newest), "-u", str(newest - 100), "-D", str(server.data)]
    done = run(command, server_account())
    assert done.returncode == 0, done.stdout
    # The file that says which of these transactions committed; the server expects it to be there.
    statuses = server.data / "pg_xact" / f"{newest // XIDS_PER_FILE:04X}"
    statuses.write_bytes(bytes(XIDS_PER_FILE // 4))
    owner = server.data.stat()
    os.chown(statuses, owner.st_uid, owner.st_gid)
