"""The phase of runs and nodes, what failed, and how nodes came to their status; code snapshots."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns, as of runs that told nothing of phases, and make the table."""
    for table in ("runs", "nodes"):
        op.add_column(table, sa.Column("phase", sa.String(16), nullable=False, server_default=""))
        op.add_column(table, sa.Column("failure", sa.Text))
    op.add_column("nodes", sa.Column("transitions", sa.Text, nullable=False, server_default="[]"))
    op.create_table(
        "snapshots",
        sa.Column("id", sa.String(64)),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("created_ns", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_snapshots"),
    )
