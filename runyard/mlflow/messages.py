"""The messages of MLflow's tracking API, as its clients send them and as they read them. Pure; needs msgspec.

A request is decoded as protobuf's JSON is: numbers may come as text, the numbers that JSON does not know are "NaN", "Infinity"
and "-Infinity", null is the same as nothing, members that are not known are passed over. Times are Unix milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from .errors import invalid

Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Number = float | str  # in answers: "NaN", "Infinity" and "-Infinity" are text
T = TypeVar("T", bound="Request")

ACTIVE_ONLY, DELETED_ONLY, ALL = "ACTIVE_ONLY", "DELETED_ONLY", "ALL"
ViewType = Literal["ACTIVE_ONLY", "DELETED_ONLY", "ALL", 1, 2, 3]
RunStatus = Literal["RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED", 1, 2, 3, 4, 5]
_VIEWS: dict[Any, str] = {1: ACTIVE_ONLY, 2: DELETED_ONLY, 3: ALL}
_STATUSES: dict[Any, str] = {1: "RUNNING", 2: "SCHEDULED", 3: "FINISHED", 4: "FAILED", 5: "KILLED"}
MODEL_STATUSES = (
    "LOGGED_MODEL_STATUS_UNSPECIFIED", "LOGGED_MODEL_PENDING", "LOGGED_MODEL_READY", "LOGGED_MODEL_UPLOAD_FAILED",
)  # fmt: skip
ModelStatus = Literal[
    "LOGGED_MODEL_STATUS_UNSPECIFIED", "LOGGED_MODEL_PENDING", "LOGGED_MODEL_READY", "LOGGED_MODEL_UPLOAD_FAILED", 0, 1, 2, 3
]


def view_of(given: Any) -> str:
    """A view type by its name."""
    return _VIEWS.get(given, given) or ACTIVE_ONLY


def status_of(given: Any) -> str | None:
    """A run's status by its name."""
    found: str | None = _STATUSES.get(given, given)
    return found


def model_status_of(given: Any) -> str:
    """A model's status by its name."""
    return MODEL_STATUSES[given] if isinstance(given, int) else str(given)


class Tag(Struct, frozen=True, gc=False):
    """A tag, a parameter, or a tag of an input."""

    key: str = ""
    value: str = ""


class Metric(Struct, frozen=True, gc=False):
    """A number in a request; `value` and `timestamp` have to be there."""

    key: str = ""
    value: float | None = None
    timestamp: Int64 | None = None
    step: Int64 | None = None
    dataset_name: str | None = None
    dataset_digest: str | None = None
    model_id: str | None = None
    run_id: str | None = None


class Dataset(Struct, frozen=True, omit_defaults=True):
    """A dataset that a run has read."""

    name: str = ""
    digest: str = ""
    source_type: str | None = None
    source: str | None = None
    schema: str | None = None
    profile: str | None = None


class DatasetInput(Struct, frozen=True, omit_defaults=True):
    """A dataset with what was said of its use."""

    dataset: Dataset | None = None
    tags: list[Tag] = []


class ModelInput(Struct, frozen=True):
    """A model that a run has used."""

    model_id: str = ""


class ModelOutput(Struct, frozen=True):
    """A model that a run has made."""

    model_id: str = ""
    step: Int64 = 0


class Request(Struct, frozen=True, kw_only=True):
    """A request; `required` names the members that have to be there and not be empty."""

    required: ClassVar[tuple[str, ...]] = ()


class RunRequest(Request, frozen=True, kw_only=True):
    """A request that names a run, by its new or its old member."""

    required: ClassVar[tuple[str, ...]] = ("run_id",)
    run_id: str = ""
    run_uuid: str = ""

    @property
    def run(self) -> str:
        """The run's id."""
        return self.run_id or self.run_uuid


class ExperimentRequest(Request, frozen=True, kw_only=True):
    """A request that names an experiment."""

    required: ClassVar[tuple[str, ...]] = ("experiment_id",)
    experiment_id: str = ""


class ExperimentName(Request, frozen=True, kw_only=True):
    """experiments/get-by-name"""

    required: ClassVar[tuple[str, ...]] = ("experiment_name",)
    experiment_name: str = ""


class CreateExperiment(Request, frozen=True, kw_only=True):
    """experiments/create"""

    required: ClassVar[tuple[str, ...]] = ("name",)
    name: str = ""
    artifact_location: str = ""
    tags: list[Tag] = []


class UpdateExperiment(ExperimentRequest, frozen=True, kw_only=True):
    """experiments/update"""

    required: ClassVar[tuple[str, ...]] = ("experiment_id", "new_name")
    new_name: str = ""


class SearchExperiments(Request, frozen=True, kw_only=True):
    """experiments/search"""

    max_results: Int64 = 1000
    page_token: str = ""
    filter: str = ""
    order_by: list[str] = []
    view_type: ViewType = 1


class ExperimentTag(ExperimentRequest, frozen=True, kw_only=True):
    """experiments/set-experiment-tag, delete-experiment-tag"""

    required: ClassVar[tuple[str, ...]] = ("experiment_id", "key")
    key: str = ""
    value: str = ""


class CreateRun(Request, frozen=True, kw_only=True):
    """runs/create"""

    experiment_id: str = ""
    user_id: str = ""
    run_name: str = ""
    start_time: Int64 | None = None
    tags: list[Tag] = []


class UpdateRun(RunRequest, frozen=True, kw_only=True):
    """runs/update"""

    status: RunStatus | None = None
    end_time: Int64 | None = None
    run_name: str = ""


class SearchRuns(Request, frozen=True, kw_only=True):
    """runs/search"""

    experiment_ids: list[str] = []
    filter: str = ""
    run_view_type: ViewType = 1
    max_results: Int64 = 1000
    order_by: list[str] = []
    page_token: str = ""


class LogMetric(RunRequest, frozen=True, kw_only=True):
    """runs/log-metric"""

    required: ClassVar[tuple[str, ...]] = ("run_id", "key")
    key: str = ""
    value: float | None = None
    timestamp: Int64 | None = None
    step: Int64 | None = None
    model_id: str | None = None
    dataset_name: str | None = None
    dataset_digest: str | None = None


class LogParam(RunRequest, frozen=True, kw_only=True):
    """runs/log-parameter, set-tag, delete-tag"""

    required: ClassVar[tuple[str, ...]] = ("run_id", "key")
    key: str = ""
    value: str = ""


class Batch(RunRequest, frozen=True, kw_only=True):
    """runs/log-batch"""

    metrics: list[Metric] = []
    params: list[Tag] = []
    tags: list[Tag] = []


class LogInputs(RunRequest, frozen=True, kw_only=True):
    """runs/log-inputs"""

    datasets: list[DatasetInput] = []
    models: list[ModelInput] = []


class LogOutputs(RunRequest, frozen=True, kw_only=True):
    """runs/outputs"""

    required: ClassVar[tuple[str, ...]] = ("run_id", "models")
    models: list[ModelOutput] = []


class LogModel(RunRequest, frozen=True, kw_only=True):
    """runs/log-model"""

    required: ClassVar[tuple[str, ...]] = ("run_id", "model_json")
    model_json: str = ""


class History(RunRequest, frozen=True, kw_only=True):
    """metrics/get-history"""

    required: ClassVar[tuple[str, ...]] = ("run_id", "metric_key")
    metric_key: str = ""
    page_token: str = ""
    max_results: Int64 | None = None


class HistoryInterval(Request, frozen=True, kw_only=True):
    """metrics/get-history-bulk-interval"""

    required: ClassVar[tuple[str, ...]] = ("run_ids", "metric_key")
    run_ids: list[str] = []
    metric_key: str = ""
    start_step: Int64 | None = None
    end_step: Int64 | None = None
    max_results: Int64 = 2500


class HistoryBulk(Request, frozen=True, kw_only=True):
    """metrics/get-history-bulk"""

    required: ClassVar[tuple[str, ...]] = ("run_id", "metric_key")
    run_id: list[str] = []
    metric_key: str = ""
    max_results: Int64 = 25_000


class ListArtifacts(RunRequest, frozen=True, kw_only=True):
    """artifacts/list"""

    path: str = ""
    page_token: str = ""


class ArtifactPath(Request, frozen=True, kw_only=True):
    """mlflow-artifacts/artifacts: a folder, from the root of all artifacts."""

    path: str = ""


class SearchDatasets(Request, frozen=True, kw_only=True):
    """experiments/search-datasets"""

    experiment_ids: list[str] = []


class CreateModel(ExperimentRequest, frozen=True, kw_only=True):
    """logged-models"""

    name: str | None = None
    model_type: str | None = None
    source_run_id: str | None = None
    params: list[Tag] = []
    tags: list[Tag] = []


class FinalizeModel(Request, frozen=True, kw_only=True):
    """PATCH logged-models/{model_id}"""

    status: ModelStatus | None = None


class ModelChange(Request, frozen=True, kw_only=True):
    """logged-models/{model_id}/params, tags"""

    params: list[Tag] = []
    tags: list[Tag] = []


class ModelArtifacts(Request, frozen=True, kw_only=True):
    """logged-models/{model_id}/artifacts/directories"""

    artifact_directory_path: str = ""


class ModelQuery(Request, frozen=True, kw_only=True):
    """GET logged-models/{model_id}"""

    allow_deleted: bool = False


class DatasetFilter(Struct, frozen=True):
    """Only metrics on this dataset count."""

    dataset_name: str = ""
    dataset_digest: str = ""


class ModelOrder(Struct, frozen=True):
    """How models are ordered: by an attribute or by `metrics.<name>`."""

    field_name: str = ""
    ascending: bool = True
    dataset_name: str = ""
    dataset_digest: str = ""


class SearchModels(Request, frozen=True, kw_only=True):
    """logged-models/search"""

    required: ClassVar[tuple[str, ...]] = ("experiment_ids",)
    experiment_ids: list[str] = []
    filter: str = ""
    datasets: list[DatasetFilter] = []
    max_results: Int64 = 50
    order_by: list[ModelOrder] = []
    page_token: str = ""


def decode(body: bytes, kind: type[T]) -> T:
    """The body of a request as a `kind`; none at all is one without members."""
    try:
        request = _decoder(kind).decode(body.strip() or b"{}")
    except msgspec.ValidationError as error:
        request = _without_nulls(body, kind, error)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise invalid(f"The request's body is no JSON object: {error}") from error
    return checked(request)


def from_query(query: Mapping[str, Sequence[str]], kind: type[T]) -> T:
    """The query of a GET as a `kind`."""
    lists = {field.name for field in msgspec.structs.fields(kind) if isinstance(field.default_factory, type(list))}
    values = {name: list(given) if name in lists else given[0] for name, given in query.items()}
    try:
        request = msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise invalid(f"The request's query cannot be used: {_clause(error)}") from error
    return checked(request)


def checked(request: T) -> T:
    """The request, where all that has to be there is."""
    for name in request.required:
        value = request.run if name == "run_id" and isinstance(request, RunRequest) else getattr(request, name)
        if not value:
            raise invalid(f"Missing value for required parameter '{name}'.")
    return request


_DECODERS: dict[type[Any], msgspec.json.Decoder[Any]] = {}


def _decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    found = _DECODERS.get(kind)
    if found is None:
        found = _DECODERS[kind] = msgspec.json.Decoder(kind, strict=False)
    return found


def _without_nulls(body: bytes, kind: type[T], error: msgspec.ValidationError) -> T:
    """A body in which a null is why it was refused, once more without its nulls."""
    try:
        return msgspec.convert(_strip(msgspec.json.decode(body)), kind, strict=False)
    except (msgspec.ValidationError, msgspec.DecodeError, RecursionError):
        raise invalid(f"The request's body cannot be used: {_clause(error)}") from error


def _strip(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _strip(one) for name, one in value.items() if one is not None}
    return [_strip(one) for one in value] if isinstance(value, list) else value


def _clause(error: Exception) -> str:
    text = str(error)
    return text[:1].lower() + text[1:]
