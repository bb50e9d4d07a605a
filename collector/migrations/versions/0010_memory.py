"""Which memory of the collector this catalog is: agents tell by it one that was restored from a backup."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table; the collector draws the epoch when it starts."""
    op.create_table("memory", sa.Column("epoch", sa.String(32)), sa.PrimaryKeyConstraint("epoch", name="pk_memory"))


def downgrade() -> None:
    """Take the table away."""
    op.drop_table("memory")
