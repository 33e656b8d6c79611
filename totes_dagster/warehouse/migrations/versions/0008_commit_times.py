"""The table of the times at which versions were committed, which the source's write-ahead log tells."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.execute(
        """
        create table commit_time (
            fact varchar not null,
            batch bigint not null,
            key integer not null,
            committed_at timestamp with time zone not null,
            primary key (fact, batch, key)
        )
        """
    )


def downgrade() -> None:
    """Drop it. The lake still has the times."""
    op.drop_table("commit_time")
