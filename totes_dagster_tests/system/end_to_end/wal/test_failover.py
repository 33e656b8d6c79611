"""A standby as the source, whose log is not read, and its promotion, after which the log has a slot again."""

from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from totes_dagster.local.programs import program
from totes_dagster.simulator.seeding import publish, seed
from totes_dagster_tests.logged_sources import LOGGING
from totes_dagster_tests.servers import server_folder
from totes_dagster_tests.system.end_to_end.neighbours.any_postgres import Server
from totes_dagster_tests.system.end_to_end.wal.logged import EDIT, is_from_log, newest, versions
from totes_dagster_tests.system.platforms import lake_in, platform_at
from totes_dagster_tests.world import World

pytestmark = pytest.mark.slow


def test_a_promoted_standby_is_counted_once_and_misses_nothing(tmp_path: Path) -> None:
    programs = program("postgres").parent
    with server_folder() as folder, Server.new(programs, folder / "warehouse").running() as apart:
        primary = Server.new(programs, folder / "primary")
        with primary.running(LOGGING):
            source = primary.create_database("totesys")
            seed(source, orders=10)
            publish(source)
            platform = platform_at(source, apart.create_database("warehouse"), lake_in(tmp_path))
            by_primary = World(replace(platform, from_log=True))
            by_primary.refresh()
            by_primary.change(EDIT)
            by_primary.refresh()
            assert is_from_log(by_primary)
            before = versions(by_primary)
            standby = primary.standby(folder / "standby", programs)
            with standby.running(LOGGING):
                by_standby = World(
                    replace(by_primary.platform, source=replace(platform.source, url=standby.url("totesys")))
                )
                by_primary.change(EDIT)
                primary.ask("select pg_logical_emit_message(false, 'here', '', flush => true)::text")
                written = primary.ask("select pg_current_wal_lsn()::text")
                while standby.ask(f"select pg_last_wal_replay_lsn() < '{written}'"):
                    pass
                by_standby.refresh()
                assert (versions(by_standby), newest(by_standby).log) == (before + 1, None)
                primary.stop()
                with psycopg.connect(standby.url(), autocommit=True) as connection:
                    connection.execute("select pg_promote()")
                for turn in (2, 3):
                    by_standby.change(EDIT)
                    by_standby.refresh()
                    assert versions(by_standby) == before + turn
                    assert by_standby.wrongs() == []
                by_standby.change(EDIT)
                by_standby.change(EDIT)
                by_standby.refresh()
                assert (versions(by_standby), is_from_log(by_standby)) == (before + 5, True)
