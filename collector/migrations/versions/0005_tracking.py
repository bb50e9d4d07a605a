"""Experiments, parameters, metrics, artifacts, models; runs with parents."""

import time

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Add the columns, as of runs that nodes have and that have no parents; make the tables, and name the experiments."""
    _columns()
    for make in (
        _experiments, _experiment_tags, _params, _properties, _warnings, _applied_records, _applied_batches, _series, _chunks,
        _artifacts, _blobs, _models, _model_metrics, _links,
    ):  # fmt: skip
        make()
    _name_experiments()
    _number_runs()


def _columns() -> None:
    op.add_column("runs", sa.Column("parent_run_id", sa.String(128)))
    op.add_column("runs", sa.Column("kind", sa.String(32), nullable=False, server_default=""))
    op.add_column("runs", sa.Column("is_client_run", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("runs", sa.Column("said_ms", sa.BigInteger))
    op.add_column("runs", sa.Column("hint", sa.String(16), nullable=False, server_default=""))
    op.add_column("runs", sa.Column("deleted_ms", sa.BigInteger))
    op.add_column("runs", sa.Column("number", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("runs", sa.Column("goal", sa.Text))
    op.add_column("runs", sa.Column("best_run_id", sa.String(128)))
    op.add_column("runs", sa.Column("best_value", sa.Float))
    op.create_index("ix_runs_parent_run_id", "runs", ["parent_run_id"])


def _name_experiments() -> None:
    connection = op.get_bind()
    named = sa.table("experiments", *map(sa.column, ("name", "folder", "artifact_location", "created_ms", "updated_ms")))
    runs = sa.table("runs", sa.column("experiment"), sa.column("created_ns"))
    now_ms = time.time_ns() // 10**6
    rows = [("Default", now_ms)]
    query = sa.select(runs.c.experiment, sa.func.min(runs.c.created_ns)).group_by(runs.c.experiment)
    rows += [(row[0], row[1] // 10**6) for row in connection.execute(query) if row[0] != "Default"]
    for name, at_ms in rows:
        values = {"name": name, "folder": name, "artifact_location": "", "created_ms": at_ms, "updated_ms": at_ms}
        connection.execute(sa.insert(named).values(values))
    # MLflow knows the experiment 0; no database counts from there.
    connection.execute(sa.text("UPDATE experiments SET experiment_id = 0 WHERE name = 'Default'"))


def _number_runs() -> None:
    connection = op.get_bind()
    runs = sa.table("runs", *map(sa.column, ("run_id", "experiment", "created_ns", "number")))
    query = sa.select(runs.c.run_id, runs.c.experiment).order_by(runs.c.created_ns, runs.c.run_id)
    count: dict[str, int] = {}
    for row in connection.execute(query).all():
        count[row.experiment] = count.get(row.experiment, 0) + 1
        connection.execute(sa.update(runs).where(runs.c.run_id == row.run_id).values(number=count[row.experiment]))


def _experiments() -> None:
    op.create_table(
        "experiments",
        sa.Column("experiment_id", _ID),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("folder", sa.String(128), nullable=False),
        sa.Column("artifact_location", sa.Text, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("updated_ms", sa.BigInteger, nullable=False),
        sa.Column("deleted_ms", sa.BigInteger),
        sa.PrimaryKeyConstraint("experiment_id", name="pk_experiments"),
        sa.UniqueConstraint("name", name="uq_experiments_name"),
        sa.UniqueConstraint("folder", name="uq_experiments_folder"),
        sqlite_autoincrement=True,
    )


def _experiment_tags() -> None:
    op.create_table(
        "experiment_tags",
        sa.Column(
            "experiment_id", sa.BigInteger, sa.ForeignKey("experiments.experiment_id", name="fk_experiment_tags_experiment_id")
        ),
        sa.Column("key", sa.Text),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("experiment_id", "key", name="pk_experiment_tags"),
    )


def _params() -> None:
    op.create_table(
        "params",
        sa.Column("run_id", sa.String(128), sa.ForeignKey("runs.run_id", name="fk_params_run_id")),
        sa.Column("key", sa.Text),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "key", name="pk_params"),
    )
    op.create_index("ix_params_key", "params", ["key"])


def _properties() -> None:
    op.create_table(
        "properties",
        sa.Column("run_id", sa.String(128), sa.ForeignKey("runs.run_id", name="fk_properties_run_id")),
        sa.Column("key", sa.Text),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "key", name="pk_properties"),
    )


def _warnings() -> None:
    op.create_table(
        "warnings",
        sa.Column("run_id", sa.String(128), sa.ForeignKey("runs.run_id", name="fk_warnings_run_id")),
        sa.Column("number", sa.BigInteger),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "number", name="pk_warnings"),
    )


def _applied_records() -> None:
    op.create_table(
        "applied_records",
        sa.Column("stream_id", sa.BigInteger, sa.ForeignKey("streams.id", name="fk_applied_records_stream_id")),
        sa.Column("offset", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("stream_id", name="pk_applied_records"),
    )


def _applied_batches() -> None:
    op.create_table(
        "applied_batches",
        sa.Column("batch_id", sa.String(64)),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("batch_id", name="pk_applied_batches"),
    )


def _series() -> None:
    op.create_table(
        "series",
        sa.Column("id", _ID),
        sa.Column("run_id", sa.String(128), sa.ForeignKey("runs.run_id", name="fk_series_run_id"), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("kind", sa.String(24), nullable=False),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.Column("number_count", sa.BigInteger, nullable=False),
        sa.Column("nan_count", sa.BigInteger, nullable=False),
        sa.Column("total", sa.Float, nullable=False),
        sa.Column("min", sa.Float),
        sa.Column("max", sa.Float),
        sa.Column("first", sa.Float),
        sa.Column("last", sa.Float),
        sa.Column("last_step", sa.BigInteger),
        sa.Column("last_ms", sa.BigInteger),
        sa.Column("latest", sa.Float),
        sa.Column("latest_step", sa.BigInteger),
        sa.Column("latest_ms", sa.BigInteger),
        sa.Column("exact", sa.Text),
        sa.Column("tail", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_series"),
        sa.UniqueConstraint("run_id", "name", name="uq_series_run_id_name"),
    )
    op.create_index("ix_series_name_last", "series", ["name", "last"])


def _chunks() -> None:
    op.create_table(
        "chunks",
        sa.Column("series_id", sa.BigInteger, sa.ForeignKey("series.id", name="fk_chunks_series_id")),
        sa.Column("first_index", sa.BigInteger),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.Column("least_step", sa.BigInteger, nullable=False),
        sa.Column("greatest_step", sa.BigInteger, nullable=False),
        sa.Column("least_ms", sa.BigInteger, nullable=False),
        sa.Column("greatest_ms", sa.BigInteger, nullable=False),
        sa.Column("envelope", sa.LargeBinary, nullable=False),
        sa.Column("points", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("series_id", "first_index", name="pk_chunks"),
    )


def _artifacts() -> None:
    op.create_table(
        "artifacts",
        sa.Column("owner", sa.String(300)),
        sa.Column("path", sa.Text),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("origin", sa.String(128)),
        sa.PrimaryKeyConstraint("owner", "path", name="pk_artifacts"),
    )
    op.create_index("ix_artifacts_sha256", "artifacts", ["sha256"])


def _blobs() -> None:
    op.create_table(
        "blobs",
        sa.Column("sha256", sa.String(64)),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("created_ns", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("sha256", name="pk_blobs"),
    )


def _models() -> None:
    op.create_table(
        "models",
        sa.Column("model_id", sa.String(64)),
        sa.Column(
            "experiment_id",
            sa.BigInteger,
            sa.ForeignKey("experiments.experiment_id", name="fk_models_experiment_id"),
            nullable=False,
        ),
        sa.Column("run_id", sa.String(128)),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("model_type", sa.Text, nullable=False),
        sa.Column("status", sa.String(32), nullable=False),
        sa.Column("status_message", sa.Text, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("updated_ms", sa.BigInteger, nullable=False),
        sa.Column("deleted_ms", sa.BigInteger),
        sa.Column("params", sa.Text, nullable=False),
        sa.Column("tags", sa.Text, nullable=False),
        sa.Column("metrics", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("model_id", name="pk_models"),
    )
    op.create_index("ix_models_experiment_id", "models", ["experiment_id"])
    op.create_index("ix_models_run_id", "models", ["run_id"])


def _model_metrics() -> None:
    op.create_table(
        "model_metrics",
        sa.Column("id", _ID),
        sa.Column(
            "model_id", sa.String(64), sa.ForeignKey("models.model_id", name="fk_model_metrics_model_id"), nullable=False
        ),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("value", sa.Float),
        sa.Column("exact", sa.String(16), nullable=False),
        sa.Column("timestamp_ms", sa.BigInteger, nullable=False),
        sa.Column("step", sa.BigInteger, nullable=False),
        sa.Column("run_id", sa.String(128), nullable=False),
        sa.Column("dataset_name", sa.Text, nullable=False),
        sa.Column("dataset_digest", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_model_metrics"),
        sa.UniqueConstraint("model_id", "key", "timestamp_ms", "step", "run_id", name="uq_model_metrics_model_id"),
    )


def _links() -> None:
    op.create_table(
        "links",
        sa.Column("run_id", sa.String(128), sa.ForeignKey("runs.run_id", name="fk_links_run_id")),
        sa.Column("kind", sa.String(16)),
        sa.Column("key", sa.String(300)),
        sa.Column("document", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "kind", "key", name="pk_links"),
    )
