"""A replica identity for the one table without a key.

A publication for all tables includes it, and PostgreSQL refuses to delete from a published table that has no replica
identity. Its rows have no natural key, and a generated key would need another sequence, whose state replication does
not copy.
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Identify a quarantined row by all its columns."""
    op.execute("alter table quarantine replica identity full")


def downgrade() -> None:
    """Return to the default, the primary key, which the table does not have."""
    op.execute("alter table quarantine replica identity default")
