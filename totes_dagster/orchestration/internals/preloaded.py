"""Imports everything that a run needs, once, in the process from which the code server forks its runs.

Nothing here may leave a thread, a connection or an open file behind, because a forked process inherits only half of it.
(The libraries of NumPy and Arrow each start a thread when imported, and handle forks themselves.)

Tried with Dagster 1.13.27.
"""

import logging
from contextlib import suppress
from importlib import import_module

logger = logging.getLogger(__name__)

_LATE = (
    "alembic.command",
    "alembic.config",
    "boto3",
    "dagster._core.instance.ref",
    "dagster._core.storage.event_log.sqlite",
    "dagster._core.storage.runs.sqlite",
    "dagster_postgres",
    "botocore.client",
    "botocore.session",
    "pyarrow.parquet",
    "sqlalchemy.dialects.postgresql.psycopg",
    "totes_dagster.ingest.reader",
    "totes_dagster.local.stack",
    "totes_dagster.reconcile.compare",
    "totes_dagster.remodel.computing",
)
"""Modules that are imported late elsewhere, and that every run needs."""


def preload() -> None:
    """Import everything, and do once what is slow the first time."""
    from totes_dagster.aws.sessions import new_core_session  # noqa: PLC0415
    from totes_dagster.definitions import defs  # noqa: PLC0415 - may fail, as below
    from totes_dagster.errors import SettingsError  # noqa: PLC0415
    from totes_dagster.lake.endpoint import endpoint_of  # noqa: PLC0415
    from totes_dagster.remodel.contract import contract_of  # noqa: PLC0415
    from totes_dagster.schema.registry import STAR_TABLES  # noqa: PLC0415

    for name in _LATE:
        import_module(name)
    defs.get_repository_def().load_all_definitions()
    for star in STAR_TABLES.values():
        contract_of(star)
    # What the SDK reads to find a bucket; nothing is sent. If its settings are wrong, runs say so.
    with suppress(SettingsError):
        endpoint_of(new_core_session("us-east-1"), "bucket")


try:
    preload()
except Exception:
    # Runs will report the error. This process must continue, even if the definitions are broken now.
    logger.exception("Runs start cold, because not everything could be imported in advance.")
