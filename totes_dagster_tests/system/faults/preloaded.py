"""What a refresh imports, sooner or later: imported once, by the process that all others are forked from.

Nothing here may start threads of its own, which a forked process would not have; Arrow brings its own back.
"""

import alembic.command
import alembic.config
import babel.numbers
import boto3
import botocore.client
import botocore.exceptions
import pyarrow.parquet
import sqlalchemy.dialects.postgresql.psycopg

import totes_dagster.ingest.reader
import totes_dagster.reconcile.compare
import totes_dagster.remodel.computing
from totes_dagster.aws.sessions import new_core_session
from totes_dagster.lake.endpoint import endpoint_of
from totes_dagster.remodel.rows import remodel_rows
from totes_dagster.schema.arrow import arrow_schema
from totes_dagster.schema.registry import CALENDAR, STAR_TABLES, inputs_of
from totes_dagster.schema.totesys import SOURCE_TABLES
from totes_dagster_tests.system.faults import matrix

__all__ = [
    "alembic",
    "babel",
    "boto3",
    "botocore",
    "matrix",
    "pyarrow",
    "sqlalchemy",
    "totes_dagster",
]

# Much is imported only when first needed: by a remodel, of nothing in this case.
for star in STAR_TABLES:
    if star != CALENDAR.name:
        remodel_rows(star, {name: arrow_schema(SOURCE_TABLES[name].columns).empty_table() for name in inputs_of(star)})

# What is read from large files, and once.
babel.numbers.get_currency_name("GBP", locale="en")
endpoint_of(new_core_session("us-east-1"), "bucket")
