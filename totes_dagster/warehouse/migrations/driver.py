"""The psycopg connection under Alembic's, for migrations that compose their statements with psycopg."""

from typing import Any

import psycopg
from alembic import op


def driver_connection() -> psycopg.Connection[Any]:
    """The psycopg connection that the current migration runs on, in its transaction."""
    connection = op.get_bind().connection.driver_connection
    if not isinstance(connection, psycopg.Connection):
        raise TypeError(f"Migrations need a connection of psycopg, not {type(connection).__name__}.")
    return connection
