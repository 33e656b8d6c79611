"""The plain star schema, and what the platform adds to it.

Kept as SQL beside this file, so that later changes of the declaration do not change what this migration creates.
"""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create what does not exist yet."""
    op.get_bind().exec_driver_sql(Path(__file__).with_suffix(".sql").read_text())


def downgrade() -> None:
    """Refuse: to go back from the baseline, drop the schema by hand."""
    raise NotImplementedError("Dropping the warehouse is not a migration.")
