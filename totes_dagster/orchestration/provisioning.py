"""What a deployment does to its servers before the platform works on them: databases, roles with passwords, migrations.

Every step may be repeated, and is by every deployment. The roles themselves are described by scripts for psql, which an
administrator can run by hand as well.
"""

import logging
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from dagster import DagsterInstance
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from totes_dagster.aws.secrets import administrator_from_secret, url_from_secret
from totes_dagster.config import settings
from totes_dagster.config.platform import warehouse_from_environment
from totes_dagster.errors import ProvisioningError, one_line
from totes_dagster.postgres.database import Database
from totes_dagster.warehouse.migrations import HEAD, migrate

logger = logging.getLogger(__name__)

PATIENCE = 120
"""Seconds for a script, which has to wait for whoever uses the tables that it hands over."""


@dataclass(frozen=True)
class Server:
    """A server that a deployment made, and sets up.

    Attributes:
        name: what the platform calls its database.
        login: the secret with the login that the platform is to have; the database and the role are made as it says.
        administrator: the secret with the name and the password of the server's administrator.
        script: the script that makes the role.
        variables: what psql is to tell the script besides the role's name.
    """

    name: str
    login: str
    administrator: str
    script: str
    variables: Mapping[str, str]


def servers(environment: Mapping[str, str] = os.environ) -> list[Server]:
    """The servers that the environment names administrators of; others are somebody else's affair."""
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


def provision(roles: Path, environment: Mapping[str, str] = os.environ) -> Iterator[str]:
    """Set up what a deployment made, and migrate what it works on; yields what was done, as it is done.

    Args:
        roles: the folder of the roles' scripts.
        environment: what names the servers, as the platform's settings do.

    Raises:
        ProvisioningError: a script is missing or failed.
        DatabaseError, SecretError: a server or a secret cannot be used.
    """
    for server in servers(environment):
        yield from _set_up(server, roles)
    before = migrate(warehouse_from_environment(environment))
    was = "" if before == HEAD else f", and was at {before or 'none'}"
    yield f"The warehouse is at revision {HEAD}{was}."
    with DagsterInstance.get() as instance:
        instance.upgrade(logger.info)
    yield "Dagster's storage is up to date."


def _set_up(server: Server, roles: Path) -> Iterator[str]:
    """Make a server's database and role, and give the role its password."""
    login = _options(url_from_secret(server.login))
    user, password = administrator_from_secret(server.administrator)
    as_administrator = {"host": login["host"], "port": login["port"], "user": user, "password": password}
    name = login["dbname"]
    with Database(server.name, make_conninfo(**as_administrator, dbname="postgres")).connect() as there:
        if not there.execute("select from pg_database where datname = %s", [name]).rowcount:
            # Not what the server's own template may say: the warehouse takes any text.
            statement = "create database {} encoding 'UTF8' template template0"
            there.execute(sql.SQL(statement).format(sql.Identifier(name)))
            yield f"Created the database {name}."
    _run_script(server, roles, make_conninfo(**as_administrator, dbname=name), login)
    yield f"The role {login['user']} is as {server.script} says, and has the password of its secret."


def _run_script(server: Server, roles: Path, conninfo: str, login: Mapping[str, str]) -> None:
    """Run the script of a server's role as the administrator, and then set the role's password."""
    psql, script = shutil.which("psql"), roles / server.script
    if psql is None:
        raise ProvisioningError("The program psql is missing, which runs the scripts of roles. Install it.")
    if not script.is_file():
        raise ProvisioningError(f"The script {script} is missing. Name the folder of the roles' scripts by --roles.")
    options = _options(Database(server.name, conninfo).conninfo())
    password = options.pop("password")
    variables = {"role": login["user"], **server.variables}
    try:
        done = subprocess.run(  # noqa: S603 - our own command line
            [
                *(psql, "--no-psqlrc", "--no-password", "--dbname", make_conninfo(**options)),
                *(argument for key, value in variables.items() for argument in ("-v", f"{key}={value}")),
                *("-f", str(script)),
                # Asks twice, and sends only a hash of what it is told.
                *("-c", f"\\password {sql.Identifier(variables['role']).as_string(None)}"),
            ],
            input=f"{login['password']}\n{login['password']}\n",
            env={**os.environ, "PGPASSWORD": password},
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE,
            check=False,
            start_new_session=True,  # without a terminal, it takes the password from what it is fed
        )
    except subprocess.TimeoutExpired:
        raise ProvisioningError(
            f"The script {server.script} did not end within {PATIENCE} s at the database of {server.name}. Perhaps "
            "somebody has locked its tables. What was under way has changed nothing: deploy again."
        ) from None
    if done.returncode:
        raise ProvisioningError(
            f"The script {server.script} failed at the database of {server.name}: {one_line(done.stderr)} What "
            "failed has changed nothing. See what the script says at its top, mend it, and deploy again."
        )


def _options(conninfo: str) -> dict[str, str]:
    return {name: str(value) for name, value in conninfo_to_dict(conninfo).items()}
