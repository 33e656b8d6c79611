"""The views that metrics are computed from. Their columns are described in `totes_dagster/schema/views.py`.

Kept as SQL beside this file, so that later changes of the declaration do not change what this migration creates.
"""

from pathlib import Path

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the views."""
    op.get_bind().exec_driver_sql(Path(__file__).with_suffix(".sql").read_text())


def downgrade() -> None:
    """Drop them. They hold no rows of their own."""
    op.execute("drop view unconverted, sales_target, delivery, settlement, purchase, sale, as_of")
