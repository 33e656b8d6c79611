"""A server as a company runs it: everybody needs a password, and its administrator is no superuser.

Roles are made there as `deploy/roles` says: by its scripts, with the psql that comes with the server.
"""

import contextlib
import itertools
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from totes_dagster.local.programs import program
from totes_dagster_tests.tcp_postgres import TcpPostgres

SCRIPTS = Path(__file__).parents[3] / "deploy" / "roles"

ADMINISTRATOR = "administrator"
"""May make roles, and owns the databases."""

_RULES = f"""
local all postgres,{ADMINISTRATOR} trust
local all all scram-sha-256
host all all 127.0.0.1/32 scram-sha-256
"""

numbers = itertools.count(1)
"""What makes the names of databases and roles unique."""


class SecuredPostgres(TcpPostgres):
    """A server with an administrator, at a port where it asks for passwords; see `ask_for_passwords`."""

    def ask_for_passwords(self) -> None:
        """Let nobody in without one any more, but the superuser and the administrator by the Unix socket."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(sql.SQL("create role {} login createrole").format(sql.Identifier(ADMINISTRATOR)))
            (self.data / "pg_hba.conf").write_text(_RULES)
            connection.execute("select pg_reload_conf()")
        deadline = time.monotonic() + 30
        while self._lets_in("postgres"):  # by the rules from before
            assert time.monotonic() < deadline

    @contextlib.contextmanager
    def administrator(self, database: str) -> Iterator[psycopg.Connection]:
        """A connection of the administrator's; what is done in the block is committed at once."""
        with psycopg.connect(self.as_administrator(database), autocommit=True) as connection:
            yield connection

    def as_administrator(self, database: str) -> str:
        """The URI by which the administrator gets in."""
        return self.url(database).replace("postgres@", f"{ADMINISTRATOR}@", 1)

    def uri(self, role: str, password: str, database: str) -> str:
        """The URI by which a role gets in, over TCP."""
        user, secret, name = (quote(part, safe="") for part in (role, password, database))
        return f"postgresql://{user}:{secret}@127.0.0.1:{self.port}/{name}"

    def new_database(self, hint: str, *, template: str = "template1", public: bool = False) -> str:
        """Create a database of the administrator's; PUBLIC may do nothing there, or what it may by default."""
        name = f"{hint}_{next(numbers)}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            names = map(sql.Identifier, (name, ADMINISTRATOR, template))
            connection.execute(sql.SQL("create database {} owner {} template {}").format(*names))
            if not public:
                connection.execute(sql.SQL("revoke all on database {} from public").format(sql.Identifier(name)))
        if not public:
            with self.administrator(name) as connection:
                connection.execute("revoke all on schema public from public")
        return name

    def run_script(
        self, database: str, script: Path, password: str = "", **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a script as the administrator does, and then give its role a password, if there is one to give."""
        command = [str(program("psql")), "-X", "-d", self.as_administrator(database)]
        for name, value in variables.items():
            command += ["-v", f"{name}={value}"]
        command += ["-f", str(script)]
        if password:
            quoted = sql.Identifier(variables["role"]).as_string(None)
            command += ["-c", f"\\password {quoted}"]
        return subprocess.run(
            command,
            input=f"{password}\n{password}\n",
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
            start_new_session=True,  # without a terminal, it reads the password from what it is fed
        )

    def make_role(self, script: str, database: str, password: str, **variables: str) -> str:
        """Make a role by one of the scripts, and return its name, which is new unless it is given."""
        role = variables.pop("role", f"{script}_{next(numbers)}")
        done = self.run_script(database, SCRIPTS / f"{script}.sql", password, role=role, **variables)
        assert done.returncode == 0, done.stderr
        return role
