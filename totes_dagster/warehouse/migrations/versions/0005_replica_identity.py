"""A replica identity for the one table without a key.

A publication for all tables includes it, and PostgreSQL refuses to delete from a published table whose rows it cannot
name to a subscriber. Its rows have no natural key, and a generated one would need another sequence, which a warehouse
that is moved by replication leaves behind.
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Let the whole row identify a quarantined row."""
    op.execute("alter table quarantine replica identity full")


def downgrade() -> None:
    """Go back to the primary key, of which there is none."""
    op.execute("alter table quarantine replica identity default")
