"""Runs on several nodes: who has joined, clocks, attempts, what is known of how processes ended."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns, as of runs on one node, and make the table."""
    for name, kind, default in (
        ("node_count", sa.BigInteger, "1"),
        ("world_size", sa.BigInteger, "1"),
        ("on_failure", sa.String(16), "fail-fast"),
        ("failure_grace_s", sa.Float, "30"),
        ("attempt", sa.BigInteger, "0"),
        ("creator", sa.Text, ""),
        ("secret", sa.String(64), ""),
    ):
        op.add_column("runs", sa.Column(name, kind, nullable=False, server_default=default))
    op.add_column("runs", sa.Column("failed_ns", sa.BigInteger))
    op.add_column("nodes", sa.Column("attempt", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("nodes", sa.Column("earlier", sa.Text, nullable=False, server_default="[]"))
    op.add_column("nodes", sa.Column("clock", sa.Text))
    op.add_column("nodes", sa.Column("failed_ns", sa.BigInteger))
    op.add_column("processes", sa.Column("ended_mono_ns", sa.BigInteger))
    op.add_column("processes", sa.Column("evidence", sa.Text))
    op.create_table(
        "members",
        sa.Column("run_id", sa.String(128), sa.ForeignKey("runs.run_id", name="fk_members_run_id")),
        sa.Column("attempt", sa.BigInteger),
        sa.Column("node_rank", sa.BigInteger),
        sa.Column("node_id", sa.String(64), nullable=False),
        sa.Column("ip", sa.String(64), nullable=False),
        sa.Column("hostname", sa.Text, nullable=False),
        sa.Column("port", sa.BigInteger, nullable=False),
        sa.Column("processes", sa.BigInteger, nullable=False),
        sa.Column("ranks", sa.Text, nullable=False),
        sa.Column("joined_ns", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "attempt", "node_rank", name="pk_members"),
    )
    op.create_table(
        "progress",
        sa.Column("run_id", sa.String(128), sa.ForeignKey("runs.run_id", name="fk_progress_run_id")),
        sa.Column("node_id", sa.String(64)),
        sa.Column("attempt", sa.BigInteger, nullable=False),
        sa.Column("ranks", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "node_id", name="pk_progress"),
    )
    op.create_table(
        "watched_runs",
        sa.Column("run_id", sa.String(128), sa.ForeignKey("runs.run_id", name="fk_watched_runs_run_id")),
        sa.Column("wanted", sa.BigInteger, nullable=False),
        sa.Column("attempt", sa.BigInteger, nullable=False),
        sa.Column("done", sa.BigInteger, nullable=False),
        sa.Column("total", sa.BigInteger),
        sa.PrimaryKeyConstraint("run_id", name="pk_watched_runs"),
    )
