"""The next number of an experiment's runs is looked up along an index, and not among all of them for each new run."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the index."""
    op.create_index("ix_runs_experiment_number", "runs", ["experiment", "number"])


def downgrade() -> None:
    """Take it away."""
    op.drop_index("ix_runs_experiment_number", "runs")
