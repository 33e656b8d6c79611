"""Prepares the servers of a deployment for the platform: databases, roles with passwords, migrations.

Every step can be repeated, and every deployment does so. The roles themselves are defined by psql scripts, which an
administrator can also run by hand.
"""

import logging
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from dagster import DagsterInstance
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from totes_dagster.aws.secrets import administrator_from_secret, has_value, put_secret, url_from_secret
from totes_dagster.cluster.credentials import new_credentials
from totes_dagster.config import settings
from totes_dagster.config.platform import warehouse_from_environment
from totes_dagster.errors import DagsterAtWorkError, ProvisioningError, one_line
from totes_dagster.postgres.database import Database
from totes_dagster.warehouse.migrations import HEAD, migrate

logger = logging.getLogger(__name__)

PATIENCE = 120
"""Seconds for a script, which may have to wait for sessions that use the tables it hands over."""

_SILENCE = 90
"""Seconds; Dagster's daemons report every 30."""


@dataclass(frozen=True)
class Server:
    """A server that a deployment created and sets up.

    Attributes:
        name: the platform's name for its database.
        login: the secret with the platform's login, which names the database and the role to create.
        administrator: the secret with the name and password of the server's administrator.
        script: the script that creates the role.
        variables: psql variables for the script, besides the role's name.
    """

    name: str
    login: str
    administrator: str
    script: str
    variables: Mapping[str, str]


def servers(environment: Mapping[str, str] = os.environ) -> list[Server]:
    """The servers whose administrators the environment names. All other servers are set up by their owners."""
    schema = environment.get(settings.WAREHOUSE_SCHEMA) or settings.DEFAULT_SCHEMA
    known = [
        Server(
            "warehouse",
            environment.get(settings.WAREHOUSE_SECRET_ID, ""),
            environment.get(settings.WAREHOUSE_ADMIN_SECRET_ID, ""),
            "warehouse_loader.sql",
            {"schema": schema},
        ),
        Server(
            "dagster",
            environment.get(settings.STORAGE_SECRET_ID, ""),
            environment.get(settings.STORAGE_ADMIN_SECRET_ID, ""),
            "dagster_storage.sql",
            {},
        ),
    ]
    return [server for server in known if server.login and server.administrator]


def readers(environment: Mapping[str, str] = os.environ) -> list[Server]:
    """The warehouse's server, for the role that the dashboard reads it with. Its script needs the tables to exist.

    Raises:
        SecretError: the secret of the platform's own login cannot be read.
    """
    login = environment.get(settings.WAREHOUSE_READER_SECRET_ID)
    return [
        replace(
            server,
            login=login,
            script="dashboard.sql",
            variables={**server.variables, "loader": _options(url_from_secret(server.login))["user"]},
        )
        for server in servers(environment)
        if login and server.name == "warehouse"
    ]


def provision(roles: Path, environment: Mapping[str, str] = os.environ) -> Iterator[str]:
    """Set up the servers, and migrate the warehouse and Dagster's storage; yield what was done, step by step.

    A cluster's credentials are made once.

    Args:
        roles: the folder with the roles' scripts.
        environment: environment variables that name the servers, with the names of the platform's settings.

    Raises:
        ProvisioningError: a script is missing or failed.
        DagsterAtWorkError: Dagster's storage has to be migrated, and its daemon is running. All else is done.
        DatabaseError, SecretError: a server or a secret cannot be used.
    """
    for server in servers(environment):
        yield from _set_up(server, roles)
    yield from _make_credentials(environment)
    before = migrate(warehouse_from_environment(environment))
    was = "" if before == HEAD else f", and was at {before or 'none'}"
    yield f"The warehouse is at revision {HEAD}{was}."
    for server in readers(environment):
        yield from _set_up(server, roles)
    with DagsterInstance.get() as instance:
        if _has_to_be_migrated(instance) and _is_at_work(instance):
            raise DagsterAtWorkError(
                "Dagster's storage has to be migrated, and its daemon is running. Stop Dagster, and try again."
            )
        instance.upgrade(logger.info)
    yield "Dagster's storage is up to date."


def _make_credentials(environment: Mapping[str, str]) -> Iterator[str]:
    """Fill the secret of a cluster's credentials, if there is one, and it is empty."""
    secret_id = environment.get(settings.WORKERS_SECRET_ID)
    if secret_id and not has_value(secret_id):
        put_secret(secret_id, new_credentials().as_secret())
        yield "Made the certificate and the key of the workers."


def _has_to_be_migrated(instance: DagsterInstance) -> bool:
    """Whether the tables of Dagster's storage are those of an earlier version of Dagster."""
    storages = (instance.run_storage, instance.event_log_storage, instance.schedule_storage)
    revisions = [storage.alembic_version() for storage in storages if storage]
    return any(revision and revision[0] != revision[1] for revision in revisions)


def _is_at_work(instance: DagsterInstance) -> bool:
    """Whether a daemon has reported within the time in which it would have done so three times."""
    beats = [status.last_heartbeat for status in instance.get_daemon_statuses().values()]
    return any(beat and time.time() - beat.timestamp < _SILENCE for beat in beats)


def _set_up(server: Server, roles: Path) -> Iterator[str]:
    """Create a server's database and role, and give the role its password."""
    login = _options(url_from_secret(server.login))
    user, password = administrator_from_secret(server.administrator)
    as_administrator = {"host": login["host"], "port": login["port"], "user": user, "password": password}
    name = login["dbname"]
    with Database(server.name, make_conninfo(**as_administrator, dbname="postgres")).connect() as connection:
        if not connection.execute("select from pg_database where datname = %s", [name]).rowcount:
            # From template0, because only that can have another encoding, and the warehouse must hold any text.
            statement = "create database {} encoding 'UTF8' template template0"
            connection.execute(sql.SQL(statement).format(sql.Identifier(name)))
            yield f"Created the database {name}."
    _run_script(server, roles, make_conninfo(**as_administrator, dbname=name), login)
    yield f"Set up the role {login['user']} with {server.script}, and gave it the password of its secret."


def _run_script(server: Server, roles: Path, conninfo: str, login: Mapping[str, str]) -> None:
    """Run the script of a server's role as the administrator, and then set the role's password."""
    psql, script = shutil.which("psql"), roles / server.script
    if psql is None:
        raise ProvisioningError("The program psql, which runs the roles' scripts, is missing. Install it.")
    if not script.is_file():
        raise ProvisioningError(
            f"The script {script} is missing. Name the folder with the roles' scripts with --roles."
        )
    options = _options(Database(server.name, conninfo).conninfo())
    password = options.pop("password")
    variables = {"role": login["user"], **server.variables}
    try:
        completed = subprocess.run(  # noqa: S603 - our own command line
            [
                *(psql, "--no-psqlrc", "--no-password", "--dbname", make_conninfo(**options)),
                *(argument for key, value in variables.items() for argument in ("-v", f"{key}={value}")),
                *("-f", str(script)),
                # Prompts twice, and sends only a hash of the password.
                *("-c", f"\\password {sql.Identifier(variables['role']).as_string(None)}"),
            ],
            input=f"{login['password']}\n{login['password']}\n",
            env={**os.environ, "PGPASSWORD": password},
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE,
            check=False,
            start_new_session=True,  # without a terminal, psql reads the password from standard input
        )
    except subprocess.TimeoutExpired:
        raise ProvisioningError(
            f"The script {server.script} did not finish within {PATIENCE} s in the database of {server.name}. Another "
            "session may have locked its tables. The step in progress was rolled back. Deploy again."
        ) from None
    if completed.returncode:
        raise ProvisioningError(
            f"The script {server.script} failed in the database of {server.name}: {one_line(completed.stderr)} The "
            "failed step was rolled back. Read the comment at the top of the script, fix the cause, and deploy again."
        )


def _options(conninfo: str) -> dict[str, str]:
    return {name: str(value) for name, value in conninfo_to_dict(conninfo).items()}
