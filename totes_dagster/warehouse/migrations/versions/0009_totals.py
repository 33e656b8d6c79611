"""The totals of the star tables after each batch, so that nobody has to count them."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; batches that are loaded already have no totals."""
    op.execute("alter table load_history add column totals jsonb")


def downgrade() -> None:
    """Drop it."""
    op.execute("alter table load_history drop column totals")
