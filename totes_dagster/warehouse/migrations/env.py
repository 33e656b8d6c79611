"""Alembic's entry point: runs the migrations on the connection that `migrate` hands over."""

from alembic import context

from totes_dagster.schema.registry import metadata
from totes_dagster.warehouse.migrations import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
)
with context.begin_transaction():
    context.run_migrations()
