"""What a run imports, sooner or later: imported once, by the process that a code server forks its runs from.

Nothing here may leave a thread, a connection or an open file behind: a forked process would have half of it. (NumPy's
and Arrow's libraries start a thread each when imported, and see to forks themselves.)
"""

import logging
from importlib import import_module

logger = logging.getLogger(__name__)

_LATE = (
    "adbc_driver_postgresql.dbapi",
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
    "totes_dagster.local.stack",
)
"""What is imported only where it is needed, which in a run it is."""


def preload() -> None:
    """Import all of it, and do once what is slow the first time."""
    from totes_dagster.definitions import defs  # noqa: PLC0415 - may fail, see below
    from totes_dagster.remodel.contract import contract_of  # noqa: PLC0415
    from totes_dagster.schema.registry import STAR_TABLES  # noqa: PLC0415

    for name in _LATE:
        import_module(name)
    defs.get_repository_def().load_all_definitions()
    for star in STAR_TABLES.values():
        contract_of(star)


try:
    preload()
except Exception:
    # The run will show it. This process must go on, whatever the definitions are like now.
    logger.exception("Runs start cold, for not all could be imported beforehand.")
