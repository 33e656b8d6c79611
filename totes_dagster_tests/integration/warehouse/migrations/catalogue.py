"""What a database holds, and statements to change it."""

from typing import Any

import psycopg
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from totes_dagster.postgres.database import Database
from totes_dagster.warehouse import migrations

CATALOGUE = """
    select relnamespace::regnamespace::text, relname, relkind, pg_class.xmin::text from pg_class
    where relnamespace::regnamespace::text !~ '^pg_|^information_schema$' order by 1, 2
"""


def run(database: Database, *statements: str) -> None:
    with psycopg.connect(database.url) as connection:
        for statement in statements:
            connection.execute(statement)


def catalogue(database: Database) -> list[tuple[Any, ...]]:
    """Every relation with the transaction that last changed it."""
    with database.transaction() as connection:
        schemas = "select nspname, '', '', '' from pg_namespace where nspname !~ '^pg_' order by 1"
        return connection.execute(schemas).fetchall() + connection.execute(CATALOGUE).fetchall()


def downgrade(database: Database, revision: str) -> None:
    """Undo the migrations of a warehouse in the schema public after a revision."""
    config = Config()
    config.set_main_option("script_location", migrations.__path__[0])
    with psycopg.connect(database.url) as connection:
        engine = create_engine("postgresql+psycopg://", creator=lambda: connection, poolclass=StaticPool)
        with engine.connect() as bound:
            config.attributes["connection"] = bound
            command.downgrade(config, revision)
            bound.commit()
