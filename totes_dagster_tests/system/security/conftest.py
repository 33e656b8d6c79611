"""A secured server with companies on it, and the platform under the roles that `deploy/roles` makes for it."""

from collections.abc import Callable, Iterator

import pytest
from psycopg.conninfo import conninfo_to_dict

from totes_dagster.config.platform import Platform
from totes_dagster.lake.zone import Lake
from totes_dagster.simulator.seeding import seed
from totes_dagster_tests.servers import FAST_SETTINGS, server_folder
from totes_dagster_tests.system.end_to_end.conftest import lake
from totes_dagster_tests.system.platforms import platform_at
from totes_dagster_tests.system.security.secured_postgres import SecuredPostgres
from totes_dagster_tests.system.security.statement_log import PREFIX

__all__ = ["lake"]

PASSWORD = "a pass/word"

LOGGING = {"log_statement": "all", "log_line_prefix": PREFIX, "autovacuum": "off"}
"""Every statement, and none of the server's own."""

WITH_LOG = {"wal_level": "logical", "synchronous_commit": "on"}
"""What the platform can read the write-ahead log of, up to the newest commit."""


@pytest.fixture(scope="session")
def server() -> Iterator[SecuredPostgres]:
    with server_folder() as folder, SecuredPostgres(folder, {**FAST_SETTINGS, **LOGGING, **WITH_LOG}) as running:
        running.ask_for_passwords()
        yield running


@pytest.fixture(scope="session")
def company(server: SecuredPostgres) -> str:
    """A database with a company, for others to be made from."""
    name = server.new_database("company")
    seed(server.as_administrator(name), orders=30)
    return name


@pytest.fixture
def platform(server: SecuredPostgres, company: str, lake: Lake) -> Platform:
    """The platform under its least roles, on a company that nothing was ingested of."""
    totesys, warehouse = server.new_database("totesys", template=company), server.new_database("warehouse")
    reader = server.make_role("totesys_reader", totesys, PASSWORD)
    loader = server.make_role("warehouse_loader", warehouse, PASSWORD, schema="analytics")
    return platform_at(
        server.uri(reader, PASSWORD, totesys), server.uri(loader, PASSWORD, warehouse), lake, schema="analytics"
    )


@pytest.fixture
def change(server: SecuredPostgres, platform: Platform) -> Callable[..., None]:
    """A function that changes the source, which the platform's own role cannot."""
    database = str(conninfo_to_dict(platform.source.url)["dbname"])

    def run(*statements: str) -> None:
        with server.administrator(database) as connection, connection.transaction():
            for statement in statements:
                connection.execute(statement)

    return run


@pytest.fixture
def analyst(server: SecuredPostgres, platform: Platform) -> str:
    """The URI by which an analyst asks the warehouse."""
    return analyst_of(server, platform)


def analyst_of(server: SecuredPostgres, platform: Platform, **variables: str) -> str:
    """Make an analyst's role for a warehouse; return the URI by which it gets in."""
    options = conninfo_to_dict(platform.warehouse.database.url)
    database, loader = str(options["dbname"]), str(options["user"])
    role = server.make_role(
        "warehouse_reader", database, PASSWORD, loader=loader, schema=platform.warehouse.schema, **variables
    )
    return server.uri(role, PASSWORD, database)
