"""What `totes provision` makes of a new deployment, on a real server whose administrator is no superuser."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import dagster
import psycopg
import pytest
import yaml
from alembic.script import ScriptDirectory
from click.testing import CliRunner
from dagster import DagsterInstance
from dagster._daemon.types import DaemonHeartbeat
from psycopg import sql

from totes_dagster.cli.commands import main
from totes_dagster.config.platform import warehouse_for_queries
from totes_dagster.dashboard.filters import Filters
from totes_dagster.dashboard.reading import read_pages
from totes_dagster.dashboard.site import PAGES
from totes_dagster.local.programs import program
from totes_dagster.orchestration import provisioning
from totes_dagster.schema.registry import STAR_TABLES
from totes_dagster_tests.servers import FAST_SETTINGS, server_folder
from totes_dagster_tests.tcp_postgres import TcpPostgres

ROLES = Path(__file__).parents[3] / "deploy" / "roles"

ADMINISTRATOR = "madeByTheServersOwner1"
LOADER, STORAGE = "theLoadersOwnPassword1", "theStoragesOwnPassword1"
DASHBOARD = "theDashboardsOwnPassword1"


class Deployment:
    """A server and the secrets of a deployment, of which nothing is set up yet."""

    def __init__(self, server: TcpPostgres) -> None:
        self.server = server
        self._secrets = boto3.client("secretsmanager")

    def keep(self, name: str, **secret: object) -> None:
        """Keep a secret, new or anew."""
        text = json.dumps(secret)
        try:
            self._secrets.create_secret(Name=name, SecretString=text)
        except self._secrets.exceptions.ResourceExistsException:
            self._secrets.put_secret_value(SecretId=name, SecretString=text)

    def login(self, name: str, username: str, password: str, database: str) -> None:
        here = {"host": "127.0.0.1", "port": self.server.port}
        self.keep(name, **here, username=username, password=password, database=database)

    def connect(self, user: str, password: str, database: str) -> Any:
        return psycopg.connect(
            host="127.0.0.1", port=self.server.port, user=user, password=password, dbname=database, autocommit=True
        )

    def provision(self, *arguments: str) -> tuple[int, str]:
        """Run the command; returns its exit status, and what it said."""
        done = CliRunner().invoke(main, ["provision", *(arguments or ("--roles", str(ROLES)))])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, done.output


@pytest.fixture(scope="module")
def server() -> Iterator[TcpPostgres]:
    """A server with an administrator."""
    logging = {**FAST_SETTINGS, "log_statement": "all"}
    with server_folder() as folder, TcpPostgres(folder, logging) as server:
        with psycopg.connect(server.url(), autocommit=True) as connection:
            connection.execute("set log_statement = 'none'")
            statement = sql.SQL("create role administrator login createrole createdb password {}")
            connection.execute(statement.format(sql.Literal(ADMINISTRATOR)))
            (server.data / "pg_hba.conf").write_text(
                "local all postgres trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
            )
            connection.execute("select pg_reload_conf()")
        yield server


@pytest.fixture
def new_server(server: TcpPostgres) -> Iterator[TcpPostgres]:
    """The same, with neither databases nor other roles."""
    yield server
    with psycopg.connect(server.url(), autocommit=True) as connection:
        for kind, names in {
            "database": "select datname from pg_database where datname not in ('postgres', 'template0', 'template1')",
            "role": "select rolname from pg_roles where rolname !~ '^(pg_.*|postgres|administrator)$'",
        }.items():
            for (name,) in connection.execute(names).fetchall():
                connection.execute(sql.SQL(f"drop {kind} {{}}").format(sql.Identifier(name)))


@pytest.fixture
def deployment(new_server: TcpPostgres, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    server = new_server
    found = Deployment(server)
    found.login("loader", "warehouse_loader", LOADER, "warehouse")
    found.login("storage", "dagster", STORAGE, "dagster")
    found.keep("administrator", username="administrator", password=ADMINISTRATOR)
    settings = {
        "PATH": f"{program('psql').parent}:/usr/bin:/bin",
        "DAGSTER_HOME": str(tmp_path),
        "WAREHOUSE_SECRET_ID": "loader",
        "WAREHOUSE_ADMIN_SECRET_ID": "administrator",
        "DAGSTER_POSTGRES_SECRET_ID": "storage",
        "DAGSTER_POSTGRES_ADMIN_SECRET_ID": "administrator",
        "DAGSTER_POSTGRES_HOST": "127.0.0.1",
        "DAGSTER_POSTGRES_PORT": str(server.port),
        "DAGSTER_POSTGRES_USER": "dagster",
        "DAGSTER_POSTGRES_PASSWORD": STORAGE,
        "DAGSTER_POSTGRES_DB": "dagster",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    deployed = yaml.safe_load((ROLES.parent / "dagster.yaml").read_text())
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump({"storage": deployed["storage"]}))
    return found


def test_a_new_deployment_is_set_up_and_may_be_again(deployment: Deployment) -> None:
    code, said = deployment.provision()
    assert code == 0, said
    assert "Created the database warehouse." in said
    assert "Created the database dagster." in said
    code, again = deployment.provision()
    assert code == 0, again
    assert "Created" not in again
    with deployment.connect("warehouse_loader", LOADER, "warehouse") as connection:
        owned = connection.execute("select count(*) from pg_tables where tableowner = 'warehouse_loader'").fetchone()
        assert owned is not None
        assert owned[0] > len(STAR_TABLES)
        assert connection.execute("show server_encoding").fetchone() == ("UTF8",)
    with DagsterInstance.get() as instance:
        assert instance.get_runs_count() == 0


def test_dagsters_storage_is_migrated_only_while_no_daemon_uses_it(deployment: Deployment) -> None:
    assert deployment.provision()[0] == 0
    beat = DaemonHeartbeat(time.time(), "SENSOR", "1", [])
    with DagsterInstance.get() as instance:
        head = instance.run_storage.alembic_version()
        instance.add_daemon_heartbeat(beat)
    assert head is not None
    assert isinstance(head[1], str)
    assert deployment.provision()[0] == 0  # there is nothing to migrate
    migrations = ScriptDirectory(str(Path(dagster.__file__).parent / "_core" / "storage" / "alembic"))
    earlier = migrations.get_revision(head[1]).down_revision
    with deployment.connect("dagster", STORAGE, "dagster") as connection:
        connection.execute("update alembic_version set version_num = %s", [earlier])
        code, said = deployment.provision()
        assert code == 75
        assert "DagsterAtWorkError: Dagster's storage has to be migrated, and its daemon is running." in said
        assert connection.execute("select version_num from alembic_version").fetchall() == [(earlier,)]
        with DagsterInstance.get() as instance:
            instance.add_daemon_heartbeat(beat._replace(timestamp=time.time() - 100))
        code, said = deployment.provision()
        assert code == 0, said
        assert connection.execute("select version_num from alembic_version").fetchall() == [(head[1],)]


def test_neither_role_may_do_more_than_its_work(deployment: Deployment) -> None:
    assert deployment.provision()[0] == 0
    with psycopg.connect(deployment.server.url()) as connection:
        able = connection.execute(
            "select rolname from pg_roles where rolname in ('dagster', 'warehouse_loader') "
            "and (rolsuper or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls)"
        ).fetchall()
    assert able == []
    with deployment.connect("dagster", STORAGE, "dagster") as connection, pytest.raises(psycopg.Error):
        connection.execute("create schema another")


def test_a_new_password_reaches_its_role_and_the_old_one_is_refused(deployment: Deployment) -> None:
    assert deployment.provision()[0] == 0
    deployment.login("loader", "warehouse_loader", "anotherPassword1", "warehouse")
    assert deployment.provision()[0] == 0
    deployment.connect("warehouse_loader", "anotherPassword1", "warehouse").close()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        deployment.connect("warehouse_loader", LOADER, "warehouse")


def test_the_dashboard_gets_a_role_that_sees_its_pages_and_no_more(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment.login("dashboard", "dashboard", DASHBOARD, "warehouse")
    monkeypatch.setenv("WAREHOUSE_READER_SECRET_ID", "dashboard")
    for _ in range(2):
        code, said = deployment.provision()
        assert code == 0, said
        assert "Set up the role dashboard with dashboard.sql" in said
    warehouse = warehouse_for_queries()
    assert len(read_pages(warehouse, [(page, Filters()) for page in PAGES.values()])) == len(PAGES)
    with deployment.connect("dashboard", DASHBOARD, "warehouse") as connection:
        assert connection.execute("show statement_timeout").fetchone() == ("5min",)
        limit = connection.execute("select rolconnlimit from pg_roles where rolname = current_user").fetchone()
        assert limit == (10,)
        for query in (
            "select email_address from dim_staff",
            "select counterparty_legal_phone_number from dim_counterparty",
            "select count(*) from fact_payment",
            "insert into load_history default values",
            "create temporary table scratch ()",
        ):
            with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction)):
                connection.execute(query)


def test_no_password_is_said_or_in_the_servers_log(deployment: Deployment) -> None:
    _, said = deployment.provision()
    log = "".join(
        path.read_text(errors="replace") for path in deployment.server.data.parent.rglob("*log*") if path.is_file()
    )
    assert "alter role" in log.lower()
    for password in (LOADER, STORAGE):
        assert password not in said + log


def test_a_warehouse_that_somebody_else_set_up_is_only_migrated(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert deployment.provision()[0] == 0
    for name in ("WAREHOUSE_ADMIN_SECRET_ID", "DAGSTER_POSTGRES_ADMIN_SECRET_ID"):
        monkeypatch.delenv(name)
    code, said = deployment.provision()
    assert code == 0, said
    assert said.splitlines()[0].startswith("The warehouse is at revision ")
    assert "role" not in said


def test_a_missing_script_is_named(deployment: Deployment, tmp_path: Path) -> None:
    code, said = deployment.provision("--roles", str(tmp_path))
    assert code == 1
    assert f"ProvisioningError: The script {tmp_path}/warehouse_loader.sql is missing." in said


def test_without_psql_it_is_asked_for(deployment: Deployment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    code, said = deployment.provision()
    assert code == 1
    assert "ProvisioningError: The program psql, which runs the roles' scripts, is missing" in said


def test_a_script_that_fails_says_why(deployment: Deployment) -> None:
    with psycopg.connect(deployment.server.url(), autocommit=True) as connection:
        connection.execute("create role warehouse_loader superuser")
    code, said = deployment.provision()
    assert code == 1
    assert "ProvisioningError: The script warehouse_loader.sql failed in the database of warehouse: " in said
    assert ADMINISTRATOR not in said


def test_a_wrong_administrator_is_refused_by_name(deployment: Deployment) -> None:
    deployment.keep("administrator", username="administrator", password="somethingElse1")
    code, said = deployment.provision()
    assert code == 1
    assert said.startswith("LoginRefusedError: ")
    assert "somethingElse1" not in said


def test_a_script_that_waits_for_others_gives_up_by_name(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert deployment.provision()[0] == 0
    monkeypatch.setattr(provisioning, "PATIENCE", 1)
    with psycopg.connect(deployment.server.url("warehouse")) as connection:
        connection.execute("lock table load_history")
        code, said = deployment.provision()
    assert code == 1
    assert said.startswith("ProvisioningError: The script warehouse_loader.sql did not finish within 1 s")
    assert LOADER not in said
