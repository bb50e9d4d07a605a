"""Runs, nodes, processes, streams, gaps, seals and tokens."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _state_columns() -> list[sa.Column[object]]:
    return [
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("exit_code", sa.BigInteger),
        sa.Column("signal", sa.BigInteger),
        sa.Column("started_ns", sa.BigInteger),
        sa.Column("ended_ns", sa.BigInteger),
    ]


def upgrade() -> None:
    """Make the tables."""
    _make_runs()
    _make_nodes()
    _make_streams()
    op.create_table(
        "tokens",
        sa.Column("token_id", sa.String(32)),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("created_ns", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("token_id", name="pk_tokens"),
        sa.UniqueConstraint("sha256", name="uq_tokens_sha256"),
    )


def _make_runs() -> None:
    op.create_table(
        "runs",
        sa.Column("run_id", sa.String(128)),
        sa.Column("experiment", sa.String(128), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("key_sha256", sa.String(64), nullable=False),
        sa.Column("command", sa.Text, nullable=False),
        sa.Column("cwd", sa.Text, nullable=False),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("hostname", sa.Text, nullable=False),
        sa.Column("timeout_s", sa.Float),
        *_state_columns(),
        sa.Column("cause", sa.Text, nullable=False),
        sa.Column("created_ns", sa.BigInteger, nullable=False),
        sa.Column("is_complete", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("run_id", name="pk_runs"),
    )
    op.create_index("ix_runs_created_ns_run_id", "runs", ["created_ns", "run_id"])
    op.create_index("ix_runs_experiment", "runs", ["experiment"])
    op.create_index("ix_runs_status", "runs", ["status"])
    op.create_table(
        "tags",
        sa.Column("run_id", sa.String(128), nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "key", name="pk_tags"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_tags_run_id"),
    )
    op.create_index("ix_tags_key", "tags", ["key"])


def _make_nodes() -> None:
    op.create_table(
        "nodes",
        sa.Column("run_id", sa.String(128), nullable=False),
        sa.Column("node_id", sa.String(64), nullable=False),
        sa.Column("ip", sa.String(64), nullable=False),
        sa.Column("hostname", sa.Text, nullable=False),
        sa.Column("folder", sa.String(128), nullable=False),
        sa.Column("heard_ns", sa.BigInteger),
        sa.Column("seq", sa.BigInteger, nullable=False),
        *_state_columns(),
        sa.Column("cause", sa.Text, nullable=False),
        sa.Column("is_complete", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "node_id", name="pk_nodes"),
        sa.UniqueConstraint("run_id", "folder", name="uq_nodes_run_id_folder"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_nodes_run_id"),
    )
    op.create_index("ix_nodes_node_id", "nodes", ["node_id"])
    op.create_table(
        "processes",
        sa.Column("run_id", sa.String(128), nullable=False),
        sa.Column("node_id", sa.String(64), nullable=False),
        sa.Column("rank", sa.BigInteger, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("pid", sa.BigInteger),
        *_state_columns(),
        sa.Column("log", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "node_id", "rank", name="pk_processes"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_processes_run_id"),
    )


def _make_streams() -> None:
    op.create_table(
        "streams",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("run_id", sa.String(128), nullable=False),
        sa.Column("node_id", sa.String(64), nullable=False),
        sa.Column("attempt", sa.BigInteger, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("source_id", sa.Text, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("is_placed", sa.Boolean, nullable=False),
        sa.Column("is_superseded", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_streams"),
        sa.UniqueConstraint(
            "run_id", "node_id", "attempt", "name", "generation", name="uq_streams_run_id_node_id_attempt_name_generation"
        ),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_streams_run_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_streams_is_placed", "streams", ["is_placed"])
    op.create_table(
        "gaps",
        sa.Column("stream_id", sa.BigInteger, nullable=False),
        sa.Column("start", sa.BigInteger, nullable=False),
        sa.Column("end", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("stream_id", "start", "end", name="pk_gaps"),
        sa.ForeignKeyConstraint(["stream_id"], ["streams.id"], name="fk_gaps_stream_id"),
    )
    op.create_table(
        "seals",
        sa.Column("stream_id", sa.BigInteger, nullable=False),
        sa.Column("length", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("segments", sa.Text, nullable=False),
        sa.Column("sealed_ns", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("stream_id", name="pk_seals"),
        sa.ForeignKeyConstraint(["stream_id"], ["streams.id"], name="fk_seals_stream_id"),
    )
