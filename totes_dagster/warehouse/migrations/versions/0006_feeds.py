"""The tables of feeds: exchange rates, shipments and sales targets, with their bookkeeping."""

from pathlib import Path

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables and the views of current versions."""
    op.get_bind().exec_driver_sql(Path(__file__).with_suffix(".sql").read_text())


def downgrade() -> None:
    """Drop them. The lake still has every batch of every feed."""
    op.execute("drop view current_exchange_rate, current_shipment, current_sales_target")
    for table in (
        "rate_on_day",
        "fact_exchange_rate",
        "fact_shipment",
        "fact_sales_target",
        "feed_history",
        "feed_file",
        "feed_quarantine",
    ):
        op.drop_table(table)
