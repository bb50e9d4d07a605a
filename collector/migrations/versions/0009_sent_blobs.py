"""Which blobs a run has sent itself; and the paths of files lie in the order of their bytes, on PostgreSQL as on SQLite."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table, and order the paths."""
    op.create_table(
        "sent_blobs",
        sa.Column("run_id", sa.String(128), sa.ForeignKey("runs.run_id", name="fk_sent_blobs_run_id")),
        sa.Column("sha256", sa.String(64)),
        sa.PrimaryKeyConstraint("run_id", "sha256", name="pk_sent_blobs"),
    )
    op.create_index("ix_sent_blobs_sha256", "sent_blobs", ["sha256"])
    _order_paths("C")


def downgrade() -> None:
    """Take the table away, and order the paths as all else."""
    _order_paths("default")
    op.drop_table("sent_blobs")


def _order_paths(collation: str) -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f'ALTER TABLE artifacts ALTER COLUMN path TYPE text COLLATE "{collation}"')
