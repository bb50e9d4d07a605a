"""Clusters, their nodes, the queue; cancelling and removing runs."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns, as of runs that nobody cancelled or removed, and make the tables."""
    _columns()
    op.create_table(
        "clusters",
        sa.Column("cluster", sa.String(64)),
        sa.Column("created_ns", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("cluster", name="pk_clusters"),
    )
    _cluster_nodes()
    _queue()
    op.create_table(
        "node_samples",
        sa.Column("node_id", sa.String(64), sa.ForeignKey("cluster_nodes.node_id", name="fk_node_samples_node_id")),
        sa.Column("at_ns", sa.BigInteger),
        sa.Column("sample", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("node_id", "at_ns", name="pk_node_samples"),
    )


def _columns() -> None:
    op.add_column("runs", sa.Column("cancel_ns", sa.BigInteger))
    op.add_column("runs", sa.Column("cancel_reason", sa.Text, nullable=False, server_default=""))
    op.add_column("runs", sa.Column("settled", sa.Text))
    op.add_column("runs", sa.Column("is_pinned", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("runs", sa.Column("removed_ns", sa.BigInteger))
    op.add_column("runs", sa.Column("removed_why", sa.Text, nullable=False, server_default=""))
    op.add_column("tokens", sa.Column("expires_ns", sa.BigInteger))
    op.add_column("tokens", sa.Column("uses_left", sa.BigInteger))


def _cluster_nodes() -> None:
    op.create_table(
        "cluster_nodes",
        sa.Column("node_id", sa.String(64)),
        sa.Column("cluster", sa.String(64), sa.ForeignKey("clusters.cluster", name="fk_cluster_nodes_cluster"), nullable=False),
        sa.Column("machine", sa.String(64), nullable=False),
        sa.Column("hostname", sa.Text, nullable=False),
        sa.Column("ip", sa.String(64), nullable=False),
        sa.Column("capacity", sa.Text, nullable=False),
        sa.Column("agent_version", sa.Text, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("runs", sa.Text, nullable=False),
        sa.Column("is_drained", sa.Boolean, nullable=False),
        sa.Column("drain_reason", sa.Text, nullable=False),
        sa.Column("clock_off_ns", sa.BigInteger, nullable=False),
        sa.Column("token_id", sa.String(32), nullable=False),
        sa.Column("joined_ns", sa.BigInteger, nullable=False),
        sa.Column("heard_ns", sa.BigInteger, nullable=False),
        sa.Column("work_version", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("node_id", name="pk_cluster_nodes"),
    )
    op.create_index("ix_cluster_nodes_cluster", "cluster_nodes", ["cluster"])


def _queue() -> None:
    op.create_table(
        "queue",
        sa.Column("run_id", sa.String(128), sa.ForeignKey("runs.run_id", name="fk_queue_run_id")),
        sa.Column("cluster", sa.String(64), sa.ForeignKey("clusters.cluster", name="fk_queue_cluster"), nullable=False),
        sa.Column("order", sa.Text, nullable=False),
        sa.Column("node_count", sa.BigInteger, nullable=False),
        sa.Column("request", sa.Text, nullable=False),
        sa.Column("priority", sa.BigInteger, nullable=False),
        sa.Column("max_queue_s", sa.Float, nullable=False),
        sa.Column("retries", sa.BigInteger, nullable=False),
        sa.Column("submitted_ns", sa.BigInteger, nullable=False),
        sa.Column("queued_ns", sa.BigInteger, nullable=False),
        sa.Column("attempt", sa.BigInteger, nullable=False),
        sa.Column("stage", sa.String(8), nullable=False),
        sa.Column("placed_ns", sa.BigInteger),
        sa.Column("waits_for", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("run_id", name="pk_queue"),
    )
    op.create_index("ix_queue_stage", "queue", ["stage"])
    op.create_table(
        "placements",
        sa.Column("run_id", sa.String(128), sa.ForeignKey("runs.run_id", name="fk_placements_run_id")),
        sa.Column("attempt", sa.BigInteger),
        sa.Column("node_rank", sa.BigInteger),
        sa.Column(
            "node_id", sa.String(64), sa.ForeignKey("cluster_nodes.node_id", name="fk_placements_node_id"), nullable=False
        ),
        sa.Column("placed_ns", sa.BigInteger, nullable=False),
        sa.Column("is_taken", sa.Boolean, nullable=False),
        sa.Column("admitted_ns", sa.BigInteger),
        sa.Column("freed_ns", sa.BigInteger),
        sa.PrimaryKeyConstraint("run_id", "attempt", "node_rank", name="pk_placements"),
    )
    op.create_index("ix_placements_node_id", "placements", ["node_id"])
    op.create_index("ix_placements_freed_ns", "placements", ["freed_ns", "node_id"])
