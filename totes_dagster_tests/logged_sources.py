"""Sources whose log can be read: what their server and their owner set up, and how to be rid of their slots."""

import psycopg

from totes_dagster_tests.servers import FAST_SETTINGS

LOGGING = {
    **FAST_SETTINGS,
    "synchronous_commit": "on",  # otherwise a commit is in the log a little later
    "wal_level": "logical",
    "max_replication_slots": "4",
    "max_wal_senders": "2",
    "max_prepared_transactions": "4",
    "track_commit_timestamp": "on",
}


def drop_slots(url: str) -> None:
    """Drop all slots of the server: a database with a slot cannot be dropped."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("select pg_drop_replication_slot(slot_name) from pg_replication_slots")


def drop_slots_of(url: str) -> None:
    """Drop the slots of one database, and end the sessions that are connected to it."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "select pg_terminate_backend(pid, 10000) from pg_stat_activity "
            "where datname = current_database() and pid <> pg_backend_pid()"
        )
        connection.execute(
            "select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = current_database()"
        )
