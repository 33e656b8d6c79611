"""Reading the source's log under the role that `totesys_log.sql` prepares, and without it."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from totes_dagster.config.platform import Platform
from totes_dagster.doctor import examine
from totes_dagster.ingest.run import changed_tables
from totes_dagster.lake.batch_log import BatchLog
from totes_dagster.pipeline import refresh
from totes_dagster_tests import oracle
from totes_dagster_tests.system.security.secured_postgres import ADMINISTRATOR, SCRIPTS, SecuredPostgres

EDIT = "update sales_order set units_sold = units_sold + 1 where sales_order_id = 7"

Change = Callable[..., None]


@pytest.fixture
def logged(platform: Platform, server: SecuredPostgres) -> Iterator[Platform]:
    """The platform, which is to read the log."""
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(sql.SQL("alter role {} replication").format(sql.Identifier(ADMINISTRATOR)))
        yield replace(platform, from_log=True)
        connection.execute("select pg_drop_replication_slot(slot_name) from pg_replication_slots")
        connection.execute(sql.SQL("alter role {} noreplication").format(sql.Identifier(ADMINISTRATOR)))


def prepare(server: SecuredPostgres, platform: Platform) -> None:
    options = conninfo_to_dict(platform.source.url)
    done = server.run_script(str(options["dbname"]), SCRIPTS / "totesys_log.sql", role=str(options["user"]))
    assert done.returncode == 0, done.stderr


def is_from_log(platform: Platform) -> bool:
    log = BatchLog(platform.lake.ingestion)
    return log.manifest(log.head()).counted is not None


def found(platform: Platform) -> list[str]:
    """What `totes doctor` says of the source."""
    settings = {
        "TOTESYS_URL": platform.source.url,
        "WAREHOUSE_URL": platform.warehouse.database.url,
        "WAREHOUSE_SCHEMA": platform.warehouse.schema,
        "TOTES_INGESTION_LAKE": platform.lake.ingestion.url,
        "TOTES_PROCESSED_LAKE": platform.lake.processed.url,
        "TOTES_CAPTURE": "log",
    }
    return [
        finding.text for finding in examine(settings) if finding.what == "totesys" and "changes are" in finding.text
    ]


def test_with_the_script_the_log_is_read(logged: Platform, server: SecuredPostgres, change: Change) -> None:
    prepare(server, logged)
    prepare(server, logged)
    refresh(logged)
    change(EDIT)
    change(EDIT)
    refresh(logged)
    assert is_from_log(logged)
    (said,) = found(logged)
    assert re.fullmatch(r"changes are taken from the log, of which the source keeps \d+ MB for it", said)


def test_without_it_the_tables_are_counted_and_nothing_fails(
    logged: Platform, change: Change, analyst: str, caplog: pytest.LogCaptureFixture
) -> None:
    refresh(logged)
    change(EDIT)
    refresh(logged)
    assert not is_from_log(logged)
    assert "There is no publication totes in the source" in caplog.text
    assert oracle.differences(logged.source.url, analyst, "analytics") == []
    (said,) = found(logged)
    assert said.startswith("changes are found by counting, although TOTES_CAPTURE is log: There is no replication slot")


def test_a_right_that_is_taken_back_ends_the_reading_and_nothing_else(
    logged: Platform, server: SecuredPostgres, change: Change, analyst: str
) -> None:
    prepare(server, logged)
    refresh(logged)
    user = sql.Identifier(str(conninfo_to_dict(logged.source.url)["user"]))
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(sql.SQL("alter role {} noreplication").format(user))
    change(EDIT)
    assert changed_tables(logged.source, logged.lake.ingestion, undeclared_too=True, from_log=True) == ["sales_order"]
    refresh(logged)
    assert not is_from_log(logged)
    assert oracle.differences(logged.source.url, analyst, "analytics") == []


def test_a_table_without_a_primary_key_is_not_published(
    logged: Platform, server: SecuredPostgres, change: Change
) -> None:
    change("alter table payment drop constraint payment_pkey")
    options = conninfo_to_dict(logged.source.url)
    done = server.run_script(str(options["dbname"]), SCRIPTS / "totesys_log.sql", role=str(options["user"]))
    assert done.returncode != 0
    assert "payment has no primary key, and is not published" in done.stderr
    change("update payment set payment_amount = payment_amount")


def test_the_readers_script_takes_a_role_again_only_without_the_right(
    logged: Platform, server: SecuredPostgres
) -> None:
    prepare(server, logged)
    options = conninfo_to_dict(logged.source.url)
    database, user = str(options["dbname"]), str(options["user"])
    refused = server.run_script(database, SCRIPTS / "totesys_reader.sql", role=user)
    assert refused.returncode != 0
    assert f"the role {user} may also do what only a superuser or an administrator may" in refused.stderr
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(sql.SQL("alter role {} noreplication").format(sql.Identifier(user)))
    assert server.run_script(database, SCRIPTS / "totesys_reader.sql", role=user).returncode == 0
    prepare(server, logged)
