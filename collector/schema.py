"""The tables of the catalog. Log bytes never go into the database.

Read by the queries of this package; made and changed by the migrations alone. Written for SQLite and PostgreSQL alike.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)

from runyard.tracking.records import Goal, ModelMetric

from .cluster.messages import Capacity, Order, Request, RunOnNode
from .messages import decode, encode
from .report import Attempt, Clock, Evidence, Failure, Progress, Settled, Transition

# A byte of a name that is not UTF-8 is the half character U+DC80 to U+DCFF in Python (os.fsdecode), which no database keeps.
# It lies there as one of the last 128 private characters, which no file is named with.
_TO_DATABASE = {0xDC00 + byte: 0x10FF00 + byte for byte in range(0x80, 0x100)}
_FROM_DATABASE = {kept: half for half, kept in _TO_DATABASE.items()}


class FreeText(TypeDecorator[str]):
    """Any text that Python can hold as a name or an argument."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        if value is None or value.isascii():
            return value
        return value.translate(_TO_DATABASE).encode("utf-8", "replace").decode()

    def process_result_value(self, value: str | None, dialect: Any) -> str | None:
        return value if value is None or value.isascii() else value.translate(_FROM_DATABASE)


class ByteOrdered(FreeText):
    """Free text that is ordered by its bytes, whatever language the database is in: what begins alike is one range."""

    cache_ok = True

    def load_dialect_impl(self, dialect: Any) -> Any:
        return Text(collation="C" if dialect.name == "postgresql" else None)  # SQLite has no other order


class Json(TypeDecorator[Any]):
    """A value of the type `kind` as the text of its JSON."""

    impl = Text
    cache_ok = True

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: Any, dialect: Any) -> str | None:
        return None if value is None else encode(value).decode()

    def process_result_value(self, value: str | None, dialect: Any) -> Any:
        return None if value is None else decode(value.encode(), self.kind)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_RUN = "runs.run_id"

runs = Table(
    "runs",
    metadata,
    Column("run_id", String(128), primary_key=True),
    Column("experiment", String(128), nullable=False),
    Column("name", FreeText, nullable=False),
    Column("key_sha256", String(64), nullable=False),
    Column("command", Text, nullable=False),  # a JSON list
    Column("cwd", FreeText, nullable=False),
    Column("user", FreeText, nullable=False),
    Column("hostname", FreeText, nullable=False),
    Column("timeout_s", Float),
    Column("status", String(16), nullable=False),  # what the nodes said; NotResponding is never stored
    Column("exit_code", BigInteger),
    Column("signal", BigInteger),
    Column("cause", FreeText, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    Column("started_ns", BigInteger),
    Column("ended_ns", BigInteger),
    Column("is_complete", Boolean, nullable=False),
    Column("phase", String(16), nullable=False),
    Column("failure", Json(Failure)),
    Column("node_count", BigInteger, nullable=False),
    Column("world_size", BigInteger, nullable=False),
    Column("on_failure", String(16), nullable=False),
    Column("failure_grace_s", Float, nullable=False),
    Column("attempt", BigInteger, nullable=False),  # the newest that a node has told of
    Column("creator", FreeText, nullable=False),  # who may let further nodes join; empty: the administrator
    Column("secret", String(64), nullable=False),  # known to the nodes of the run alone; empty until they meet
    Column("failed_ns", BigInteger),  # when the collector was first told of a failure; of runs on several nodes
    Column("cancel_ns", BigInteger),  # when somebody asked for the run to be cancelled
    Column("cancel_reason", FreeText, nullable=False),
    Column("settled", Json(Settled)),  # how the run ended where no node will tell
    Column("is_pinned", Boolean, nullable=False),  # never removed for its age or size
    Column("removed_ns", BigInteger),  # since when its files are gone
    Column("removed_why", FreeText, nullable=False),
    Column(
        "parent_run_id", String(128)
    ),  # of a child run; not a foreign key: a parent's journal may come later than its child's
    Column("kind", String(32), nullable=False),  # runyard/tracking/records.py names some; any word
    Column("is_client_run", Boolean, nullable=False),  # no node has it: its status is what its clients and its parent say
    Column("said_ms", BigInteger),  # of such a run: when a client last said anything of it
    Column("hint", String(16), nullable=False),  # what an MLflow client last said of the status of a run that a node has
    Column("deleted_ms", BigInteger),  # since when it is hidden from lists, until it is restored
    Column("number", BigInteger, nullable=False),  # counted within its experiment, from 1
    Column("goal", Json(Goal)),  # of a run with children: what they are compared by
    Column("best_run_id", String(128)),  # of its children; kept as their metrics come
    Column("best_value", Float),
    Index(None, "created_ns", "run_id"),
    # Along these the table of runs is read, newest first: of all, of a run's children, of an experiment.
    Index(None, "parent_run_id", "deleted_ms", "created_ns", "run_id"),
    # The status is there to be counted.
    Index("ix_runs_of_experiment", "experiment", "parent_run_id", "deleted_ms", "created_ns", "run_id", "status"),
    Index("ix_runs_experiment_number", "experiment", "number"),  # each new run takes the next one
    Index(None, "status"),
)

tags = Table(
    "tags",
    metadata,
    Column("run_id", String(128), ForeignKey(_RUN), primary_key=True),
    Column("key", FreeText, primary_key=True),
    Column("value", FreeText, nullable=False),
    Index(None, "key"),
)

nodes = Table(
    "nodes",
    metadata,
    Column("run_id", String(128), ForeignKey(_RUN), primary_key=True),
    Column("node_id", String(64), primary_key=True),
    Column("ip", String(64), nullable=False),
    Column("hostname", FreeText, nullable=False),
    Column("folder", String(128), nullable=False),
    Column("heard_ns", BigInteger),
    Column("seq", BigInteger, nullable=False),  # -1: no state has come yet
    Column("status", String(16), nullable=False),
    Column("exit_code", BigInteger),
    Column("signal", BigInteger),
    Column("cause", FreeText, nullable=False),
    Column("started_ns", BigInteger),
    Column("ended_ns", BigInteger),
    Column("is_complete", Boolean, nullable=False),
    Column("phase", String(16), nullable=False),
    Column("failure", Json(Failure)),
    Column("transitions", Json(list[Transition]), nullable=False),
    Column("attempt", BigInteger, nullable=False),
    Column("earlier", Json(list[Attempt]), nullable=False),  # how the node's attempts before this one ended
    Column("clock", Json(Clock)),
    Column("failed_ns", BigInteger),  # when the collector was first told of a failure here
    UniqueConstraint("run_id", "folder"),
    Index(None, "node_id"),
)

processes = Table(
    "processes",
    metadata,
    Column("run_id", String(128), ForeignKey(_RUN), primary_key=True),
    Column("node_id", String(64), primary_key=True),
    Column("rank", BigInteger, primary_key=True),
    Column("name", FreeText, nullable=False),
    Column("pid", BigInteger),
    Column("status", String(16), nullable=False),
    Column("exit_code", BigInteger),
    Column("signal", BigInteger),
    Column("started_ns", BigInteger),
    Column("ended_ns", BigInteger),
    Column("log", FreeText, nullable=False),
    Column("ended_mono_ns", BigInteger),
    Column("evidence", Json(Evidence)),
)

progress = Table(
    "progress",
    metadata,
    Column("run_id", String(128), ForeignKey(_RUN), primary_key=True),
    Column("node_id", String(64), primary_key=True),
    Column("attempt", BigInteger, nullable=False),
    Column("ranks", Json(dict[int, Progress]), nullable=False),
)

watched_runs = Table(
    "watched_runs",
    metadata,
    Column("run_id", String(128), ForeignKey(_RUN), primary_key=True),
    Column("wanted", BigInteger, nullable=False),  # how often the stacks of all nodes were wanted
    Column("attempt", BigInteger, nullable=False),  # of what follows
    Column("done", BigInteger, nullable=False),  # the most steps that a rank has told
    Column("total", BigInteger),  # of how many it counts them
)

members = Table(
    "members",
    metadata,
    Column("run_id", String(128), ForeignKey(_RUN), primary_key=True),
    Column("attempt", BigInteger, primary_key=True),
    Column("node_rank", BigInteger, primary_key=True),
    Column("node_id", String(64), nullable=False),
    Column("ip", String(64), nullable=False),
    Column("hostname", FreeText, nullable=False),
    Column("port", BigInteger, nullable=False),  # free on that node when it came; 0: it has joined the run and not come yet
    Column("processes", BigInteger, nullable=False),
    Column("ranks", Json(list[int]), nullable=False),
    Column("joined_ns", BigInteger, nullable=False),
)

streams = Table(
    "streams",
    metadata,
    # Goes over the wire as u32; never given twice.
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("run_id", String(128), ForeignKey(_RUN), nullable=False),
    Column("node_id", String(64), nullable=False),
    Column("attempt", BigInteger, nullable=False),
    Column("name", FreeText, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("source_id", FreeText, nullable=False),
    Column("path", FreeText, nullable=False),  # below the node's folder
    Column("is_placed", Boolean, nullable=False),  # its file exists, and the one that it supersedes has moved away
    Column("is_superseded", Boolean, nullable=False),
    UniqueConstraint("run_id", "node_id", "attempt", "name", "generation"),
    Index(None, "is_placed"),
    sqlite_autoincrement=True,
)

gaps = Table(
    "gaps",
    metadata,
    Column("stream_id", BigInteger, ForeignKey("streams.id"), primary_key=True),
    Column("start", BigInteger, primary_key=True),
    Column("end", BigInteger, primary_key=True),
)

seals = Table(
    "seals",
    metadata,
    Column("stream_id", BigInteger, ForeignKey("streams.id"), primary_key=True),
    Column("length", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),  # of the whole stream, as the collector read it from its disk
    Column("segments", Text, nullable=False),  # what the node sent: JSON [[start, end, sha256], …]
    Column("sealed_ns", BigInteger, nullable=False),
)

tokens = Table(
    "tokens",
    metadata,
    Column("token_id", String(32), primary_key=True),
    Column("sha256", String(64), nullable=False, unique=True),
    Column("kind", String(8), nullable=False),
    Column("subject", FreeText, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    Column("expires_ns", BigInteger),  # of join tokens, whose subject is the cluster
    Column("uses_left", BigInteger),
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("id", String(64), primary_key=True),  # the SHA-256 of its bytes
    Column("size_bytes", BigInteger, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
)

clusters = Table(
    "clusters",
    metadata,
    Column("cluster", String(64), primary_key=True),
    Column("created_ns", BigInteger, nullable=False),
)

cluster_nodes = Table(
    "cluster_nodes",
    metadata,
    Column("node_id", String(64), primary_key=True),
    Column("cluster", String(64), ForeignKey("clusters.cluster"), nullable=False),
    Column("machine", String(64), nullable=False),
    Column("hostname", FreeText, nullable=False),
    Column("ip", String(64), nullable=False),
    Column("capacity", Json(Capacity), nullable=False),
    Column("agent_version", FreeText, nullable=False),
    Column("status", String(16), nullable=False),  # what the node said; LostContact is never stored
    Column("reason", FreeText, nullable=False),
    Column("runs", Json(list[RunOnNode]), nullable=False),  # as it last said
    Column("is_drained", Boolean, nullable=False),
    Column("drain_reason", FreeText, nullable=False),
    Column("clock_off_ns", BigInteger, nullable=False),
    Column("token_id", String(32), nullable=False),  # of its own token
    Column("joined_ns", BigInteger, nullable=False),
    Column("heard_ns", BigInteger, nullable=False),
    Column("work_version", BigInteger, nullable=False),  # grows with each change of what it is to have
    Index(None, "cluster"),
)

queue = Table(
    "queue",
    metadata,
    Column("run_id", String(128), ForeignKey(_RUN), primary_key=True),
    Column("cluster", String(64), ForeignKey("clusters.cluster"), nullable=False),
    Column("order", Json(Order), nullable=False),
    Column("node_count", BigInteger, nullable=False),
    Column("request", Json(Request), nullable=False),
    Column("priority", BigInteger, nullable=False),
    Column("max_queue_s", Float, nullable=False),
    Column("retries", BigInteger, nullable=False),  # how often it may still be given to other nodes after one was lost
    Column("submitted_ns", BigInteger, nullable=False),
    Column("queued_ns", BigInteger, nullable=False),  # since when this attempt waits
    Column("attempt", BigInteger, nullable=False),
    Column("stage", String(8), nullable=False),  # queued, placed, over
    Column("placed_ns", BigInteger),
    Column("waits_for", FreeText, nullable=False),
    Index(None, "stage"),
)

placements = Table(
    "placements",
    metadata,
    Column("run_id", String(128), ForeignKey(_RUN), primary_key=True),
    Column("attempt", BigInteger, primary_key=True),
    Column("node_rank", BigInteger, primary_key=True),
    Column("node_id", String(64), ForeignKey("cluster_nodes.node_id"), nullable=False),
    Column("placed_ns", BigInteger, nullable=False),
    Column("is_taken", Boolean, nullable=False),  # the node has said that it has it
    Column("admitted_ns", BigInteger),  # since when the node may have started it: it has a token of the run
    Column("freed_ns", BigInteger),  # since when the node has nothing of it any more, or it was taken from a lost node
    Index(None, "node_id"),
    Index("ix_placements_freed_ns", "freed_ns", "node_id"),  # each turn of the queue looks at what is not freed alone
)

node_samples = Table(
    "node_samples",
    metadata,
    Column("node_id", String(64), ForeignKey("cluster_nodes.node_id"), primary_key=True),
    Column("at_ns", BigInteger, primary_key=True),
    Column("sample", Json(dict[str, float]), nullable=False),
)

experiments = Table(
    "experiments",
    metadata,
    # 0 is MLflow's "Default", which is always there.
    Column("experiment_id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("name", FreeText, nullable=False, unique=True),
    Column("folder", String(128), nullable=False, unique=True),  # what runs.experiment and the store's keys have: a plain name
    Column("artifact_location", FreeText, nullable=False),  # empty: here
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    Column("deleted_ms", BigInteger),
    sqlite_autoincrement=True,
)

experiment_tags = Table(
    "experiment_tags",
    metadata,
    Column("experiment_id", BigInteger, ForeignKey("experiments.experiment_id"), primary_key=True),
    Column("key", FreeText, primary_key=True),
    Column("value", FreeText, nullable=False),
)

params = Table(
    "params",
    metadata,
    Column("run_id", String(128), ForeignKey(_RUN), primary_key=True),
    Column("key", FreeText, primary_key=True),
    Column("value", FreeText, nullable=False),
    Index(None, "key"),
)

properties = Table(
    "properties",
    metadata,
    Column("run_id", String(128), ForeignKey(_RUN), primary_key=True),
    Column("key", FreeText, primary_key=True),
    Column("value", FreeText, nullable=False),
)

warnings = Table(
    "warnings",
    metadata,
    Column("run_id", String(128), ForeignKey(_RUN), primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("text", FreeText, nullable=False),
)

# How far each stream of records is applied: written in the transaction that applies them.
applied_records = Table(
    "applied_records",
    metadata,
    Column("stream_id", BigInteger, ForeignKey("streams.id"), primary_key=True),
    Column("offset", BigInteger, nullable=False),
)

# Batches of records that came by a request of their own, and how many of its records are applied: of one that comes again, only
# the others are.
applied_batches = Table(
    "applied_batches",
    metadata,
    Column("batch_id", String(64), primary_key=True),  # a digest of the run's id and the client's name for the batch
    Column("count", BigInteger, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)

series = Table(
    "series",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("run_id", String(128), ForeignKey(_RUN), nullable=False),
    Column("name", FreeText, nullable=False),
    Column("kind", String(24), nullable=False),  # scalar, row, image, confusion_matrix, …
    Column("count", BigInteger, nullable=False),
    Column("number_count", BigInteger, nullable=False),  # of finite numbers: those that min, max and total are of
    Column("nan_count", BigInteger, nullable=False),
    Column("total", Float, nullable=False),
    Column("min", Float),
    Column("max", Float),
    Column("first", Float),  # null where it is no number
    Column("last", Float),  # of the point that was recorded last
    Column("last_step", BigInteger),
    Column("last_ms", BigInteger),
    Column("latest", Float),  # as MLflow has it: of the greatest (step, time, value)
    Column("latest_step", BigInteger),
    Column("latest_ms", BigInteger),
    # Of first, last and latest what the doubles above do not say: {"last": ["number", 3]}, ["number", "NaN"], ["word", true].
    Column("exact", Json(dict[str, list[Any]])),
    Column("tail", Json(list[int]), nullable=False),  # sizes of the last chunks, which may be joined with what comes
    UniqueConstraint("run_id", "name"),
    Index(None, "name", "last"),
)

# The points of a series in recorded order, many to a row: see tracking/points.py and tracking/envelope.py.
chunks = Table(
    "chunks",
    metadata,
    Column("series_id", BigInteger, ForeignKey("series.id"), primary_key=True),
    Column("first_index", BigInteger, primary_key=True),
    Column("count", BigInteger, nullable=False),
    Column("least_step", BigInteger, nullable=False),
    Column("greatest_step", BigInteger, nullable=False),
    Column("least_ms", BigInteger, nullable=False),
    Column("greatest_ms", BigInteger, nullable=False),
    Column("envelope", LargeBinary, nullable=False),  # before the points: SQLite reads a row from its start
    Column("points", LargeBinary, nullable=False),
)

# A file of a run (owner: its id) or of an MLflow model (owner: "model:" and its id).
artifacts = Table(
    "artifacts",
    metadata,
    Column("owner", String(300), primary_key=True),
    Column("path", ByteOrdered, primary_key=True),
    Column("sha256", String(64), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column(
        "origin", String(128)
    ),  # the run whose stream .runyard/blobs/<sha256> has the bytes; null: the store of blobs has them
    Index(None, "sha256"),
)

blobs = Table(
    "blobs",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
)

# Which blobs a run's token has sent whole: only of these it makes files. It might know others by their digests alone.
sent_blobs = Table(
    "sent_blobs",
    metadata,
    Column("run_id", String(128), ForeignKey(_RUN), primary_key=True),
    Column("sha256", String(64), primary_key=True),
    Index(None, "sha256"),
)

# One row: drawn by chance at the first start, and anew after a restoring (epoch.py).
memory = Table("memory", metadata, Column("epoch", String(32), primary_key=True))

models = Table(
    "models",
    metadata,
    Column("model_id", String(64), primary_key=True),
    Column("experiment_id", BigInteger, ForeignKey("experiments.experiment_id"), nullable=False),
    Column("run_id", String(128)),
    Column("name", FreeText, nullable=False),
    Column("model_type", FreeText, nullable=False),
    Column("status", String(32), nullable=False),
    Column("status_message", FreeText, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    Column("deleted_ms", BigInteger),
    Column("params", Json(dict[str, str]), nullable=False),
    Column("tags", Json(dict[str, str]), nullable=False),
    Column("metrics", Json(list[ModelMetric]), nullable=False),
    Index(None, "experiment_id"),
    Index(None, "run_id"),
)

# Points that runs have logged with a model's id.
model_metrics = Table(
    "model_metrics",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("model_id", String(64), ForeignKey("models.model_id"), nullable=False),
    Column("key", FreeText, nullable=False),
    Column("value", Float),  # null: `exact` says which number it is
    Column("exact", String(16), nullable=False),
    Column("timestamp_ms", BigInteger, nullable=False),
    Column("step", BigInteger, nullable=False),
    Column("run_id", String(128), nullable=False),
    Column("dataset_name", FreeText, nullable=False),
    Column("dataset_digest", FreeText, nullable=False),
    UniqueConstraint("model_id", "key", "timestamp_ms", "step", "run_id", name="uq_model_metrics_model_id"),
)

# What a run has read (kind "dataset": MLflow's DatasetInput), and the models that it has used or made.
links = Table(
    "links",
    metadata,
    Column("run_id", String(128), ForeignKey(_RUN), primary_key=True),
    Column("kind", String(16), primary_key=True),
    Column("key", String(300), primary_key=True),
    Column("document", Json(dict[str, Any]), nullable=False),
)

# Browsers that have logged in, by the SHA-256 of their cookie.
sessions = Table(
    "sessions",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("kind", String(8), nullable=False),
    Column("subject", FreeText, nullable=False),
    Column("token_sha256", String(64), nullable=False),  # of the token that they have logged in with
    Column("created_ns", BigInteger, nullable=False),
    Column("expires_ns", BigInteger, nullable=False),
)

login_codes = Table(
    "login_codes",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("kind", String(8), nullable=False),
    Column("subject", FreeText, nullable=False),
    Column("token_sha256", String(64), nullable=False),
    Column("expires_ns", BigInteger, nullable=False),
)
