"""Tables that nobody declared, whatever they are: set aside with their names where need be, and never fatal."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pyarrow as pa
import pytest
from psycopg import sql

from totes_dagster.config.platform import Platform
from totes_dagster.ingest import parts
from totes_dagster.ingest import recorder as recording_stage
from totes_dagster.ingest.snapshot import SourceSnapshot
from totes_dagster.ingest.undeclared import count_undeclared
from totes_dagster.lake.manifest import Census, Part
from totes_dagster.lake.zone import Zone
from totes_dagster.local.server import EmbeddedPostgres
from totes_dagster.pipeline import reconcile
from totes_dagster.simulator.seeding import seed
from totes_dagster_tests.servers import FAST_SETTINGS, server_folder
from totes_dagster_tests.world import World

pytestmark = pytest.mark.slow

Counted = tuple[dict[str, Census], dict[str, str]]

EDIT = "update sales_order set units_sold = units_sold + 1 where sales_order_id = 7"


def deviations(world: World) -> list[str]:
    return [str(deviation) for deviation in world.refresh().ingested.deviations]


@contextmanager
def reader_of(company: World) -> Iterator[World]:
    """The world as seen by a user of the source who may read all that is there, and no more."""
    company.change("create role stranger login", "grant select on all tables in schema public to stranger")
    url = company.source_url.replace("//postgres@", "//stranger@")
    yield World(replace(company.platform, source=replace(company.platform.source, url=url)))
    company.change("drop owned by stranger", "drop role stranger")


def test_a_strangers_table_with_row_level_security_is_set_aside(company: World) -> None:
    company.change("create table tenant (id int)", "alter table tenant enable row level security", EDIT)
    with reader_of(company) as reader:
        (told,) = deviations(reader)
        assert told.startswith("tenant: expected no such table, found a new table, not captured: row-level security")
        assert not any(reconcile(reader.platform).found.values())
    assert company.wrongs() == []


def test_a_strangers_table_that_is_locked_is_set_aside_until_it_is_free(
    company: World, caplog: pytest.LogCaptureFixture
) -> None:
    company.change("create table busy as select 1 as a", EDIT)
    with psycopg.connect(company.source_url) as owner:
        owner.execute("lock table busy in access exclusive mode")
        (told,) = deviations(company)
        assert told.startswith("busy: expected no such table, found a new table, not captured this time: ")
        assert "The undeclared table busy is not captured this time" in caplog.text
        assert not any(reconcile(company.platform).found.values())
    assert company.wrongs() == []
    manifest = company.refresh().ingested.batch
    assert manifest is not None
    assert manifest.tables["busy"].rows == 1


@pytest.mark.parametrize(
    "statements",
    [
        ("drop table passing",),
        ("truncate passing",),
        ("alter table passing alter a type bigint",),
        ("drop table passing", "create table passing as select 7 as a"),
        ("alter table passing rename to gone",),
    ],
    ids=["dropped", "truncated", "rewritten", "made anew", "renamed"],
)
def test_a_strangers_table_that_changes_under_our_eyes_is_never_seen_as_it_never_was(
    company: World, monkeypatch: pytest.MonkeyPatch, statements: tuple[str, ...]
) -> None:
    company.change("create table passing as select 1 as a", EDIT)

    def look_late(snapshot: SourceSnapshot, tables: Iterable[str]) -> Counted:
        company.change(*statements)
        return count_undeclared(snapshot, tables)

    with monkeypatch.context() as patched:
        patched.setattr(recording_stage, "count_undeclared", look_late)
        (told,) = deviations(company)
    assert told.startswith("passing: ")
    assert company.wrongs() == []
    assert "not captured this time" in told


def test_a_strangers_table_whose_rows_cannot_be_read_is_set_aside(company: World) -> None:
    company.change(
        "create table odd (a integer, b integer generated always as (1 / a) virtual)",
        "insert into odd values (1), (0)",
        EDIT,
    )
    (told,) = deviations(company)
    assert "division by zero" in told
    assert company.wrongs() == []
    company.change("delete from odd where a = 0")
    manifest = company.refresh().ingested.batch
    assert manifest is not None
    assert manifest.tables["odd"].rows == 1


def test_thousands_of_tables_take_no_more_locks_than_one(platform: Platform) -> None:
    """A source with room for few locks, and an application that needs some."""
    count = 600
    room = {"max_locks_per_transaction": "10", "max_connections": "20", "max_prepared_transactions": "0"}
    with server_folder() as folder, EmbeddedPostgres(folder / "small", FAST_SETTINGS | room) as server:
        seed(server.url(), orders=60)
        with psycopg.connect(server.url(), autocommit=True) as owner:
            for number in range(count):
                owner.execute(sql.SQL("create table {} as select 1 as a").format(sql.Identifier(f"tenant_{number}")))
        world = World(replace(platform, source=replace(platform.source, url=server.url())))
        with psycopg.connect(server.url()) as application:
            application.execute("select " + ", ".join(f"(select a from tenant_{number})" for number in range(100)))
            manifest = world.refresh().ingested.batch
        assert manifest is not None
        assert sum(name.startswith("tenant_") for name in manifest.tables) == count
        assert world.wrongs() == []
        assert world.refresh().ingested.batch is None


def test_parts_are_bounded_in_bytes(company: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "BYTES_PER_PART", 2**20)
    sizes: list[int] = []
    create_part = Zone.create_part

    def measured(zone: Zone, path: str, rows: pa.Table) -> Part | None:
        sizes.append(rows.nbytes)
        return create_part(zone, path, rows)

    monkeypatch.setattr(Zone, "create_part", measured)
    company.change(
        "create table scans (picture bytea)",
        "alter table scans alter picture set storage external",
        "insert into scans select convert_to(repeat(chr(65 + number % 26), 262144), 'UTF8') "
        "from generate_series(1, 200) as number",
    )
    manifest = company.refresh().ingested.batch
    assert manifest is not None
    (scans,) = [entry for name, entry in manifest.tables.items() if name == "scans"]
    assert scans.rows == 200
    assert max(sizes) < 2**20 + 2**24 + 2**18  # and what the driver hands over at a time
    assert len(scans.parts) > 1


def test_a_part_of_a_declared_table_is_bounded_in_bytes_too(
    company: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(parts, "BYTES_PER_PART", 2**10)
    company.change("update design set design_name = repeat('a', 2000)")
    manifest = company.refresh().ingested.batch
    assert manifest is not None
    assert company.wrongs() == []


def test_a_strangers_cast_is_not_run_as_the_platforms_user(company: World) -> None:
    company.change(
        "create type mood as enum ('glad', 'sad')",
        "create function spy(mood) returns text language plpgsql as "
        "$$ begin raise exception 'run by %', current_user; end $$",
        "create cast (mood as text) with function spy(mood)",
        "create function shout(\"TransactionType\") returns text language sql as $$ select 'LOUD' $$",
        'create cast ("TransactionType" as text) with function shout("TransactionType") as implicit',
        "create table feelings (mood mood, moods mood[])",
        "insert into feelings values ('glad', '{sad,glad}'), (null, null)",
        EDIT,
    )
    manifest = company.refresh(recapture=["transaction"]).ingested.batch
    assert manifest is not None
    (part,) = manifest.tables["feelings"].parts
    assert company.platform.lake.ingestion.read_part(part.path).to_pylist() == [
        {"mood": "glad", "moods": "{sad,glad}"},
        {"mood": None, "moods": None},
    ]
    assert {kind for (kind,) in company.ask("select transaction_type from dim_transaction")} == {"SALE", "PURCHASE"}
    assert not any(reconcile(company.platform).found.values())


def test_definitions_of_declared_tables_can_be_changed_while_a_strangers_table_is_read(
    company: World, monkeypatch: pytest.MonkeyPatch
) -> None:

    def look_while_the_owner_is_at_work(snapshot: SourceSnapshot, tables: Iterable[str]) -> Counted:
        company.change("set local lock_timeout = '5s'", "alter table staff add note text")
        return count_undeclared(snapshot, tables)

    company.change("create table stranger as select 1 as a", EDIT)
    monkeypatch.setattr(recording_stage, "count_undeclared", look_while_the_owner_is_at_work)
    manifest = company.refresh().ingested.batch
    assert manifest is not None
    assert manifest.tables["stranger"].rows == 1
    assert company.wrongs() == []
