"""Definitions that change while a refresh looks: it sees them whole or not at all, and stands in nobody's way."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from totes_dagster.ingest import reader as reading_stage
from totes_dagster.ingest.reader import open_reader
from totes_dagster_tests.system.end_to_end.badness import EDIT
from totes_dagster_tests.system.end_to_end.witness import Witness
from totes_dagster_tests.world import of_the_older_source

PATIENCE = 60  # seconds
WAITING = (
    "select exists (select from pg_locks where not granted and database = "
    "(select oid from pg_database where datname = current_database()))"
)


@contextmanager
def owner_of(witness: Witness) -> Iterator[psycopg.Connection]:
    """Somebody who changes definitions of the source, and does not wait for ever."""
    with psycopg.connect(witness.world.source_url) as connection:
        connection.execute(f"set lock_timeout = '{PATIENCE // 2}s'")
        yield connection


def see_somebody_wait(witness: Witness, for_: Future[Any]) -> None:
    """Return once a lock on the source is waited for, which one of ours must do before it is done."""
    with psycopg.connect(witness.world.source_url, autocommit=True) as watcher:
        while not watcher.execute(WAITING).fetchall()[0][0]:
            assert not for_.done(), for_.result()


@of_the_older_source
@pytest.mark.parametrize(
    "statements",
    [
        ["alter table sales_order alter units_sold type bigint"],
        [
            "create temporary table kept as table sales_order",
            "truncate sales_order",
            "insert into sales_order select * from kept",
        ],
    ],
    ids=["rewritten", "filled anew"],
)
def test_a_table_that_is_made_anew_while_a_refresh_looks_is_never_seen_empty(
    witness: Witness, statements: list[str]
) -> None:
    with owner_of(witness) as owner, ThreadPoolExecutor(1) as pool:
        for statement in (*statements, EDIT.format(7)):
            owner.execute(statement)
        run = pool.submit(witness.world.refresh)
        see_somebody_wait(witness, run)
        owner.commit()
        run.result(timeout=PATIENCE)
    witness.testify()
    assert witness.world.versions("fact_sales_order", 7) == ["live", "live"]
    assert witness.world.versions("fact_sales_order", 8) == ["live"]


def test_a_definition_that_somebody_wants_to_change_in_the_midst_of_a_refresh_can_be_changed(
    witness: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the refresh has locked all tables, and before it has begun to read this one."""
    begun = threading.Event()

    def alter() -> None:
        with owner_of(witness) as owner:
            owner.execute("alter table payment add note text")

    with ThreadPoolExecutor(1) as pool:

        def open_late(*arguments: Any) -> Any:
            if not begun.is_set():
                begun.set()
                see_somebody_wait(witness, pool.submit(alter))
            return open_reader(*arguments)

        witness.change(EDIT.format(7), "update payment set paid = not paid where payment_id = 3")
        monkeypatch.setattr(reading_stage, "open_reader", open_late)
        witness.refresh()
    assert begun.is_set()
    witness.change("update payment set note = 'there it is' where payment_id = 4")
    manifest = witness.batch()
    assert "there it is" in [row["note"] for row in witness.kept(manifest, "payment")]


def test_somebody_who_changes_several_definitions_is_never_the_victim_of_a_deadlock(witness: Witness) -> None:
    # The refresh itself does not look for deadlocks before long: so it is up to the other one to notice.
    witness.change(
        "do $$ begin execute format('alter database %I set deadlock_timeout = %L', current_database(), '1h'); end $$",
        EDIT.format(7),
    )
    with owner_of(witness) as owner, ThreadPoolExecutor(1) as pool:
        owner.execute("set deadlock_timeout = '1s'")
        owner.execute("alter table staff add note text")
        run = pool.submit(witness.world.refresh)
        see_somebody_wait(witness, run)
        owner.execute("alter table address add note text")
        owner.commit()
        run.result(timeout=PATIENCE)
    witness.testify()
    assert witness.world.versions("fact_sales_order", 7) == ["live", "live"]
