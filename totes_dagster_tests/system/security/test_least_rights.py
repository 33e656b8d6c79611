"""Each right that the scripts of `deploy/roles` grant is needed: without any one of them, something is refused."""

import re
import shutil
from contextlib import nullcontext
from pathlib import Path

import pytest

from totes_dagster.errors import AccessDeniedError, SourceSchemaError, TotesError, WarehouseBehindError
from totes_dagster.lake.zone import Lake
from totes_dagster.pipeline import catch_up, ingest
from totes_dagster.postgres.database import Database
from totes_dagster.schema.registry import FACTS, FEED_FACTS, STAR_TABLES, metadata
from totes_dagster.schema.star import current_view_of
from totes_dagster.schema.totesys import SOURCE_TABLES
from totes_dagster.schema.views import VIEWS
from totes_dagster.warehouse.migrations import VERSION_TABLE, migrate
from totes_dagster_tests.system.platforms import lake_in, warehouse_at
from totes_dagster_tests.system.security.conftest import PASSWORD
from totes_dagster_tests.system.security.secured_postgres import SCRIPTS, SecuredPostgres, numbers

Refusal = tuple[type[TotesError], str]
"""What is raised, and some of its words."""

RIGHTS: dict[str, dict[str, Refusal | None]] = {
    "totesys_reader": {
        "grant connect": (AccessDeniedError, "permission denied for database"),
        "grant usage": (
            SourceSchemaError,
            f"expected its {len(SOURCE_TABLES)} tables, found none of them",
        ),
        "grant select on %I.%I": (AccessDeniedError, "permission denied for table"),
        "alter default privileges": None,
    },
    "warehouse_loader": {
        "grant connect": (AccessDeniedError, "permission denied for database"),
        "grant temporary": (AccessDeniedError, "permission denied to create temporary tables"),
        "grant usage": (WarehouseBehindError, "permission denied for schema analytics"),
        "grant create": (WarehouseBehindError, "permission denied for schema analytics"),
        "alter table %I.%I owner to": None,
    },
    "warehouse_reader": {
        "grant connect": (AccessDeniedError, "permission denied for database"),
        "grant usage": (AccessDeniedError, "permission denied for schema analytics"),
        "grant select on %I.%I": (AccessDeniedError, "permission denied for view current_payment"),
        "alter default privileges": None,
    },
}
"""For each script, its rights, and what is refused without. Of those with None, a test of their own tells."""

NOT_FOR_THE_ROLE = ("grant %I to current_user", "to %I', current_database(), owner)", "to %I', :'schema', owner)")
"""What the scripts grant to others, so that they can do their work and the application can go on with its own."""


def statements(script: str) -> list[str]:
    """The statements of a script, without comments and psql's own commands."""
    text = re.sub(r"^\s*(--|\\).*\n", "", (SCRIPTS / f"{script}.sql").read_text(), flags=re.MULTILINE)
    return [statement.strip() for statement in re.split(r"(?:;|\\gexec)\n", text)]


def without(script: str, right: str, folder: Path) -> Path:
    """Copy the scripts, and leave the statement with these words out of one of them."""
    shutil.copytree(SCRIPTS, folder, dirs_exist_ok=True)
    copied = folder / f"{script}.sql"
    (statement,) = [statement for statement in statements(script) if right in statement]
    copied.write_text(re.sub(re.escape(statement) + r"(;|\s*\\gexec)", "", copied.read_text(), count=1))
    assert statement not in copied.read_text()
    return copied


def test_every_right_of_the_scripts_is_tested_below() -> None:
    for script, rights in RIGHTS.items():
        granting = [line for line in statements(script) if re.search(r"\bgrant\b|owner to", line)]
        for statement in granting:
            known = [right for right in (*rights, *NOT_FOR_THE_ROLE) if right in statement]
            assert len(known) == 1, statement
        for right in rights:
            assert len([statement for statement in granting if right in statement]) == 1, right


def refused(script: str) -> list[tuple[str, Refusal]]:
    return [(right, refusal) for right, refusal in RIGHTS[script].items() if refusal]


@pytest.fixture(scope="session")
def batch(server: SecuredPostgres, company: str, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake with a batch."""
    lake = lake_in(tmp_path_factory.mktemp("lake"))
    ingest(Database("totesys", server.as_administrator(company)), lake.ingestion)
    return lake


def new_role(server: SecuredPostgres, script: Path, database: str, **variables: str) -> str:
    role = f"role_{next(numbers)}"
    done = server.run_script(database, script, PASSWORD, role=role, **variables)
    assert done.returncode == 0, done.stderr
    return server.uri(role, PASSWORD, database)


@pytest.mark.parametrize(("right", "refusal"), refused("totesys_reader"))
def test_the_reader_needs_each_of_its_rights(
    server: SecuredPostgres,
    company: str,
    lake: Lake,
    tmp_path: Path,
    right: str,
    refusal: Refusal,
) -> None:
    database = server.new_database("totesys", template=company)
    url = new_role(server, without("totesys_reader", right, tmp_path), database)
    error, words = refusal
    with pytest.raises(error, match=words):
        ingest(Database("totesys", url), lake.ingestion)


def test_the_reader_must_read_every_table(server: SecuredPostgres, company: str, lake: Lake) -> None:
    database = server.new_database("totesys", template=company)
    role = server.make_role("totesys_reader", database, PASSWORD)
    source = Database("totesys", server.uri(role, PASSWORD, database))
    with server.administrator(database) as connection:
        for table in SOURCE_TABLES:
            connection.execute(f"revoke select on {table} from {role}")
            with pytest.raises(AccessDeniedError, match=f"permission denied for table {table}"):
                ingest(source, lake.ingestion)
            connection.execute(f"grant select on {table} to {role}")
    assert ingest(source, lake.ingestion).batch


@pytest.mark.parametrize("right", ["", "alter default privileges"], ids=["with the right", "without"])
def test_the_reader_needs_the_right_to_read_tables_to_come(
    server: SecuredPostgres, company: str, lake: Lake, tmp_path: Path, right: str
) -> None:
    database = server.new_database("totesys", template=company)
    script = without("totesys_reader", right, tmp_path) if right else SCRIPTS / "totesys_reader.sql"
    source = Database("totesys", new_role(server, script, database))
    with server.administrator(database) as connection:
        connection.execute("create table refund as select 1 as refund_id")
    ingested = ingest(source, lake.ingestion)
    (deviation,) = ingested.deviations
    assert deviation.table == "refund"
    assert ("may not read" in deviation.found) == bool(right)
    assert ingested.batch is not None
    assert ("refund" in ingested.batch.tables) != bool(right)


@pytest.mark.parametrize(("right", "refusal"), refused("warehouse_loader"))
def test_the_loader_needs_each_of_its_rights(
    server: SecuredPostgres,
    batch: Lake,
    tmp_path: Path,
    right: str,
    refusal: Refusal,
) -> None:
    script = without("warehouse_loader", right, tmp_path)
    url = new_role(server, script, server.new_database("warehouse"), schema="analytics")
    error, words = refusal
    with pytest.raises(error, match=words):
        catch_up(warehouse_at(url, "analytics"), batch)


@pytest.mark.parametrize("right", ["", "alter table %I.%I owner to"], ids=["with the right", "without"])
def test_the_loader_must_own_tables_that_are_there_already(
    server: SecuredPostgres, batch: Lake, tmp_path: Path, right: str
) -> None:
    database = server.new_database("warehouse")
    migrate(warehouse_at(server.as_administrator(database), "analytics"))
    with server.administrator(database) as connection:
        connection.execute(f"drop view {', '.join(f'analytics.{view}' for view in VIEWS)}")
        for fact in (FACTS | FEED_FACTS).values():
            connection.execute(f"drop view analytics.{current_view_of(fact)}")
        for made_by_the_platform in (VERSION_TABLE, *(name for name in metadata.tables if name not in STAR_TABLES)):
            connection.execute(f"drop table analytics.{made_by_the_platform}")
    script = without("warehouse_loader", right, tmp_path) if right else SCRIPTS / "warehouse_loader.sql"
    warehouse = warehouse_at(new_role(server, script, database, schema="analytics"), "analytics")
    with pytest.raises(WarehouseBehindError, match="must be owner of table") if right else nullcontext():
        _, (done,) = catch_up(warehouse, batch)
        assert done.tables["fact_payment"].new > 0


def test_the_loader_gets_all_that_the_warehouse_consists_of() -> None:
    (statement,) = [each for each in statements("warehouse_loader") if "owner to" in each]
    views = [*map(current_view_of, (FACTS | FEED_FACTS).values()), *VIEWS]
    listed = re.findall(r"'(\w+)'", statement.partition("relname in")[2])
    assert sorted(listed) == sorted([*metadata.tables, *views, VERSION_TABLE])


@pytest.fixture(scope="session")
def loaded(server: SecuredPostgres, batch: Lake) -> tuple[str, str]:
    """A warehouse that shows a batch, for others to be made from; and its loader."""
    database = server.new_database("warehouse")
    loader = server.make_role("warehouse_loader", database, PASSWORD, schema="analytics")
    catch_up(warehouse_at(server.uri(loader, PASSWORD, database), "analytics"), batch)
    return database, loader


@pytest.mark.parametrize(("right", "refusal"), refused("warehouse_reader"))
def test_analysts_need_each_of_their_rights(
    server: SecuredPostgres,
    loaded: tuple[str, str],
    tmp_path: Path,
    right: str,
    refusal: Refusal,
) -> None:
    template, loader = loaded
    database = server.new_database("warehouse", template=template)
    script = without("warehouse_reader", right, tmp_path)
    url = new_role(server, script, database, schema="analytics", loader=loader)
    error, words = refusal
    with pytest.raises(error, match=words), Database("warehouse", url).connect() as connection:
        connection.execute("select * from analytics.current_payment")


@pytest.mark.parametrize("right", ["", "alter default privileges"], ids=["with the right", "without"])
def test_analysts_need_the_right_to_read_what_migrations_will_make(
    server: SecuredPostgres, tmp_path: Path, right: str
) -> None:
    database = server.new_database("warehouse")
    loader = server.make_role("warehouse_loader", database, PASSWORD, schema="analytics")
    script = without("warehouse_reader", right, tmp_path) if right else SCRIPTS / "warehouse_reader.sql"
    analyst = Database("warehouse", new_role(server, script, database, schema="analytics", loader=loader))
    migrate(warehouse_at(server.uri(loader, PASSWORD, database), "analytics"))
    readable = [*metadata.tables, *map(current_view_of, (FACTS | FEED_FACTS).values()), *VIEWS]
    for name in readable:
        with pytest.raises(AccessDeniedError, match=name) if right else nullcontext(), analyst.connect() as connection:
            assert connection.execute(f"select from {name} limit 0").rowcount == 0
