"""The driver's own connection, for migrations whose statements need psycopg's composition."""

from typing import Any

import psycopg
from alembic import op


def driver_connection() -> psycopg.Connection[Any]:
    """The psycopg connection that the migration at work runs on, in its transaction."""
    connection = op.get_bind().connection.driver_connection
    if not isinstance(connection, psycopg.Connection):
        raise TypeError(f"Migrations run on psycopg, but were given {type(connection).__name__}.")
    return connection
