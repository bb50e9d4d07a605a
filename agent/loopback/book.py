"""What the loopback server knows of its run, the run's children and their models: made of records alone.

Pure. Records come in the order in which this node's journals have them; what the collector has from elsewhere is not in here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from runyard.mlflow.statuses import to_mlflow
from runyard.tracking import records

# A request whose answer was lost comes again at once: among so many points the same one is not counted twice.
MOST_RECENT = 20_000
MODEL_OWNER = "model:"


@dataclass(slots=True)
class Point:
    """The latest point of a metric, as MLflow has it: of the greatest (step, time, value)."""

    value: float
    step: int
    at_ms: int
    model_id: str = ""
    dataset_name: str = ""
    dataset_digest: str = ""

    @property
    def order(self) -> tuple[int, int, float]:
        """What the greatest of is the latest; NaN counts as 0, as at MLflow's server."""
        return self.step, self.at_ms, 0.0 if self.value != self.value else self.value


@dataclass(slots=True)
class KnownRun:
    """A run, as far as the records tell. `word` is what records of this journal call it: the own run is empty there."""

    run_id: str
    word: str
    parent: str
    name: str
    user: str
    start_ms: int
    status: str = "RUNNING"
    end_ms: int | None = None
    is_deleted: bool = False
    params: dict[str, str] = field(default_factory=dict)
    earlier_params: dict[str, str] = field(default_factory=dict)  # of attempts before this one
    tags: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, Point] = field(default_factory=dict)
    datasets: dict[str, dict[str, Any]] = field(default_factory=dict)
    model_inputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    model_outputs: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(slots=True)
class KnownModel:
    """An MLflow model; `document` has the members of the collector's table of models."""

    model_id: str
    run_id: str
    word: str  # what records call that run
    created_ms: int
    updated_ms: int
    document: dict[str, Any]
    metrics: dict[tuple[str, str, str, str], Point] = field(default_factory=dict)  # by name, run and dataset

    @property
    def is_deleted(self) -> bool:
        """Whether it was deleted."""
        return self.document.get("deleted_ms") is not None


@dataclass(slots=True)
class File:
    """A file of a run or model."""

    sha256: str
    size_bytes: int


class Book:
    """The run `own`, what is below it, and their models and files."""

    def __init__(self, own: KnownRun) -> None:
        self.own = own
        self.runs: dict[str, KnownRun] = {own.run_id: own}
        self.models: dict[str, KnownModel] = {}
        self.files: dict[str, dict[str, File]] = {}  # by owner, then path
        self._recent: set[tuple[Any, ...]] = set()
        self._recent_order: deque[tuple[Any, ...]] = deque()

    def is_known(self, point: records.Metric) -> bool:
        """Whether the very same point was recorded a moment ago."""
        return _identity(point, self.own.run_id) in self._recent

    def apply(self, found: Iterable[records.Record]) -> None:
        """Take in records; one of a run that is not known here says nothing."""
        for record in found:
            act = _ACTIONS.get(type(record))
            if act is not None:
                act(self, record)

    def turn_over(self) -> None:
        """What is known so far is of earlier attempts: their parameters may come otherwise now."""
        for run in self.runs.values():
            run.params, run.earlier_params = {}, run.params

    def run_of(self, run: str) -> KnownRun | None:
        """The run that a record names."""
        return self.runs.get(run) if run else self.own

    def _metric(self, record: records.Metric) -> None:
        run = self.run_of(record.run)
        if run is None:
            return
        point = Point(
            float(record.value), record.step or 0, record.at_ms, record.model_id, record.dataset_name, record.dataset_digest
        )
        _keep_latest(run.metrics, record.name, point)
        model = self.models.get(record.model_id) if record.model_id else None
        if model is not None:
            key = (record.name, run.run_id, record.dataset_name, record.dataset_digest)
            _keep_latest(model.metrics, key, point)
        self._remember(_identity(record, self.own.run_id))

    def _remember(self, identity: tuple[Any, ...]) -> None:
        self._recent.add(identity)
        self._recent_order.append(identity)
        if len(self._recent_order) > MOST_RECENT:
            self._recent.discard(self._recent_order.popleft())

    def _param(self, record: records.Param) -> None:
        run = self.run_of(record.run)
        if run is not None:
            run.params.setdefault(record.key, record.value)

    def _tag(self, record: records.Tag) -> None:
        run = self.run_of(record.run)
        if run is not None:
            run.tags[record.key] = record.value

    def _untag(self, record: records.Untag) -> None:
        run = self.run_of(record.run)
        if run is not None:
            run.tags.pop(record.key, None)

    def _child(self, record: records.Child) -> None:
        parent = self.run_of(record.parent)
        if parent is None or record.run in self.runs:
            return
        self.runs[record.run] = KnownRun(record.run, record.run, parent.run_id, record.name, record.user, record.at_ms)

    def _status(self, record: records.Status) -> None:
        run = self.run_of(record.run)
        if run is not None:
            run.status = to_mlflow(record.status)
            run.end_ms = record.at_ms if run.status in ("FINISHED", "FAILED", "KILLED") else run.end_ms

    def _name(self, record: records.Name) -> None:
        run = self.run_of(record.run)
        if run is not None:
            run.name = record.name

    def _lifecycle(self, record: records.Lifecycle) -> None:
        run = self.run_of(record.run)
        if run is not None:
            run.is_deleted = record.is_deleted

    def _artifact(self, record: records.Artifact) -> None:
        self.files.setdefault(self.owner(record.owner), {})[record.path] = File(record.sha256, record.size_bytes)

    def _artifact_gone(self, record: records.ArtifactGone) -> None:
        files = self.files.get(self.owner(record.owner), {})
        for path in [path for path in files if path == record.path or path.startswith(record.path + "/") or not record.path]:
            del files[path]

    def owner(self, owner: str) -> str:
        """The owner of files that a record names, as `files` has it."""
        return owner or self.own.run_id

    def _model(self, record: records.Model) -> None:
        model = self.models.get(record.model_id)
        if model is None:
            run = self.run_of(record.run)
            run_id = run.run_id if run else record.run
            model = KnownModel(record.model_id, run_id, record.run, record.at_ms, record.at_ms, {})
            self.models[record.model_id] = model
        model.document |= record.document
        model.updated_ms = record.at_ms

    def _link(self, record: records.Link) -> None:
        run = self.run_of(record.run)
        if run is None:
            return
        kinds = {"dataset": run.datasets, "model_input": run.model_inputs, "model_output": run.model_outputs}
        kinds[record.kind].setdefault(record.key, record.document)


def _keep_latest(points: dict[Any, Point], key: Any, point: Point) -> None:
    known = points.get(key)
    if known is None or point.order >= known.order:
        points[key] = point


def _identity(point: records.Metric, own: str) -> tuple[Any, ...]:
    value = float(point.value)
    return point.run or own, point.name, point.step or 0, point.at_ms, "NaN" if value != value else value, point.model_id


_ACTIONS: Mapping[type[Any], Any] = {
    records.Metric: Book._metric,
    records.Param: Book._param,
    records.Tag: Book._tag,
    records.Untag: Book._untag,
    records.Child: Book._child,
    records.Status: Book._status,
    records.Name: Book._name,
    records.Lifecycle: Book._lifecycle,
    records.Artifact: Book._artifact,
    records.ArtifactGone: Book._artifact_gone,
    records.Model: Book._model,
    records.Link: Book._link,
}
