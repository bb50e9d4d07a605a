"""The answers of MLflow's tracking API. Pure; needs msgspec.

A member that has no value is left out, as protobuf's JSON does; a metric's NaN and infinities are text.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from .messages import DatasetInput, ModelInput, ModelOutput, Number, Tag

ACTIVE, DELETED = "active", "deleted"
VERSION = "3.17.2"  # of MLflow, whose API this is


class Answer(Struct, frozen=True, omit_defaults=True):
    """The part of an answer; also the one that says nothing."""


class Metric(Answer, frozen=True, gc=False):
    """A point of a metric."""

    key: str
    value: Number
    timestamp: int
    step: int
    run_id: str | None = None
    model_id: str | None = None
    dataset_name: str | None = None
    dataset_digest: str | None = None


class Experiment(Answer, frozen=True):
    """An experiment."""

    experiment_id: str
    name: str
    artifact_location: str
    lifecycle_stage: str
    last_update_time: int
    creation_time: int
    tags: list[Tag] = []


class RunInfo(Answer, frozen=True):
    """What a run is and how it is."""

    run_id: str
    run_uuid: str
    run_name: str
    experiment_id: str
    user_id: str
    status: str
    start_time: int
    artifact_uri: str
    lifecycle_stage: str
    end_time: int | None = None


class RunData(Answer, frozen=True):
    """What a run has logged."""

    metrics: list[Metric] = []
    params: list[Tag] = []
    tags: list[Tag] = []


class RunInputs(Answer, frozen=True):
    """What a run has read."""

    dataset_inputs: list[DatasetInput] = []
    model_inputs: list[ModelInput] = []


class RunOutputs(Answer, frozen=True):
    """The models that a run has made."""

    model_outputs: list[ModelOutput] = []


class Run(Answer, frozen=True):
    """A run."""

    info: RunInfo
    data: RunData
    inputs: RunInputs
    outputs: RunOutputs | None = None


class FileInfo(Answer, frozen=True):
    """A file or folder."""

    path: str
    is_dir: bool
    file_size: int | None = None


class ModelInfo(Answer, frozen=True):
    """What a model is and how it is."""

    experiment_id: str
    model_id: str
    name: str
    artifact_uri: str
    creation_timestamp_ms: int
    last_updated_timestamp_ms: int
    status: str
    model_type: str | None = None
    source_run_id: str | None = None
    status_message: str | None = None
    tags: list[Tag] = []


class ModelData(Answer, frozen=True):
    """Parameters and metrics of a model."""

    params: list[Tag] = []
    metrics: list[Metric] = []


class LoggedModel(Answer, frozen=True):
    """A model."""

    info: ModelInfo
    data: ModelData


class ExperimentId(Answer, frozen=True):
    """experiments/create"""

    experiment_id: str


class OneExperiment(Answer, frozen=True):
    """experiments/get, get-by-name"""

    experiment: Experiment


class Experiments(Answer, frozen=True):
    """experiments/search"""

    experiments: list[Experiment] = []
    next_page_token: str | None = None


class OneRun(Answer, frozen=True):
    """runs/create, get"""

    run: Run


class UpdatedRun(Answer, frozen=True):
    """runs/update"""

    run_info: RunInfo


class Runs(Answer, frozen=True):
    """runs/search"""

    runs: list[Run] = []
    next_page_token: str | None = None


class Metrics(Answer, frozen=True):
    """metrics/get-history and its relatives"""

    metrics: list[Metric] = []
    next_page_token: str | None = None


class Files(Answer, frozen=True):
    """artifacts/list, mlflow-artifacts/artifacts"""

    root_uri: str | None = None
    files: list[FileInfo] = []
    next_page_token: str | None = None


class OneModel(Answer, frozen=True):
    """logged-models"""

    model: LoggedModel


class Models(Answer, frozen=True):
    """logged-models/search"""

    models: list[LoggedModel] = []
    next_page_token: str | None = None


class DatasetSummary(Answer, frozen=True):
    """A dataset that a run of an experiment has read."""

    experiment_id: str
    name: str
    digest: str
    context: str | None = None


class Datasets(Answer, frozen=True):
    """experiments/search-datasets"""

    dataset_summaries: list[DatasetSummary] = []


class ServerInfo(Answer, frozen=True):
    """What the server can do."""

    store_type: str
    workspaces_enabled: bool
    trace_archival_enabled: bool
    multipart_uploads_enabled: bool
    multipart_downloads_enabled: bool


SERVER_INFO = ServerInfo("SqlStore", False, False, False, False)
_encoder = msgspec.json.Encoder()


def encode(answer: Answer) -> bytes:
    """The JSON of an answer."""
    return _encoder.encode(answer)


def number(value: float) -> Number:
    """A value as an answer has it."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def pairs(values: Mapping[str, str]) -> list[Tag]:
    """Tags or parameters of a mapping."""
    return [Tag(key, value) for key, value in values.items()]
