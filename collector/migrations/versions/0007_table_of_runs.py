"""The table of runs, newest first, is read along an index: of all runs, of an experiment's, of a run's children."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_SHOWN = ["parent_run_id", "deleted_ms", "created_ns", "run_id"]


def upgrade() -> None:
    """Make them in place of those of the parent and of the experiment alone."""
    op.drop_index("ix_runs_parent_run_id", "runs")
    op.drop_index("ix_runs_experiment", "runs")
    op.create_index("ix_runs_parent_run_id_deleted_ms_created_ns_run_id", "runs", _SHOWN)
    op.create_index("ix_runs_of_experiment", "runs", ["experiment", *_SHOWN, "status"])


def downgrade() -> None:
    """Make those of the parent and of the experiment alone."""
    op.drop_index("ix_runs_of_experiment", "runs")
    op.drop_index("ix_runs_parent_run_id_deleted_ms_created_ns_run_id", "runs")
    op.create_index("ix_runs_experiment", "runs", ["experiment"])
    op.create_index("ix_runs_parent_run_id", "runs", ["parent_run_id"])
