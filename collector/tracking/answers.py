"""The JSON bodies and query parameters of the routes of records and metrics. Pure."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from runyard.collector.messages import MAX_INT, Body, Count, NodeId, PageSize, RunId, RunStatus, Text, check_run_id
from runyard.tracking.records import MOST_NAME

MOST_SERIES = 200  # in one answer of metrics/sampled
MOST_VALUES = 100_000  # in one answer of metrics/values

SeriesName = Annotated[str, Meta(min_length=1, max_length=MOST_NAME, pattern=r"^[^\x00]*$")]
Integer = Annotated[int, Meta(ge=-(2**63), le=MAX_INT)]
X = Literal["step", "time", "index"]
Number = float | int | str | None  # NaN and the infinities are words


class RecordsQuery(Body, frozen=True, kw_only=True):
    """Names a batch of records: the very same batch again is not applied again."""

    batch: Annotated[str, Meta(min_length=8, max_length=64, pattern=r"^[0-9a-f]*$")] | None = None


class Refused(Body, frozen=True, kw_only=True):
    """A record that was not applied: which line, counted from 0, and why."""

    line: int
    why: str


class RecordsAnswer(Body, frozen=True, kw_only=True):
    """What became of some records: how many were applied, how many had been when the same batch came before, and what was
    refused now."""

    applied: int
    repeated: int
    refused: list[Refused]


class Journal(Body, frozen=True, kw_only=True):
    """A journal of the run: how much of it has come, and how much of that is applied."""

    node_id: NodeId
    name: str
    attempt: int
    bytes: int
    applied: int


class Journals(Body, frozen=True, kw_only=True):
    """The journals of a run."""

    streams: list[Journal]


class MetricsQuery(Body, frozen=True, kw_only=True):
    """Whose summary is wanted; without a name, of all."""

    name: Annotated[list[SeriesName], Meta(max_length=1000)] = []


class MetricSummary(Body, frozen=True, kw_only=True):
    """A metric without its values. `min`, `max` and `mean` are of the finite numbers; `latest` is what MLflow calls so: the
    value of the greatest (step, time, value). Whole numbers are whole, NaN and the infinities are words."""

    name: str
    kind: str
    count: int
    number_count: int
    nan_count: int
    first: Any
    last: Any
    last_step: int | None
    last_ms: int
    min: float | None
    max: float | None
    mean: float | None
    latest: Number
    latest_step: int | None
    latest_ms: int | None


class MetricList(Body, frozen=True, kw_only=True):
    """The metrics of a run, by name."""

    metrics: list[MetricSummary]


class ValuesQuery(Body, frozen=True, kw_only=True, rename={"start": "from"}):
    """Which values are wanted: from the `from`th on, counted from 0 in recorded order."""

    name: SeriesName
    start: Count = 0
    limit: Annotated[int, Meta(ge=1, le=MOST_VALUES)] = 10_000


class Value(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A value as it was recorded; a row is an object. `is_text`: it is no number, though it may look like the word for one."""

    value: Any
    step: int | None
    at_ms: int
    is_text: bool = False


class Values(Body, frozen=True, kw_only=True):
    """Values in recorded order; `next` is where the following ones begin, absent behind the last."""

    name: str
    kind: str
    count: int
    points: list[Value]
    next: int | UnsetType = UNSET


class SampledQuery(Body, frozen=True, kw_only=True):
    """What a chart shows: series of some runs over steps, times (Unix milliseconds) or places in recorded order."""

    run_id: Annotated[list[RunId], Meta(min_length=1, max_length=MOST_SERIES)]
    name: Annotated[list[SeriesName], Meta(min_length=1, max_length=MOST_SERIES)]
    x: X = "step"
    start: Integer | None = None
    end: Integer | None = None
    columns: Annotated[int, Meta(ge=1, le=10_000)] = 1000

    def __post_init__(self) -> None:
        for run_id in self.run_id:
            check_run_id("run_id", run_id)
        if len(self.run_id) * len(self.name) > MOST_SERIES:
            raise ValueError(f"{len(self.run_id)} runs and {len(self.name)} names are more than {MOST_SERIES} series")


class Sampled(Body, frozen=True, kw_only=True):
    """A series as a chart shows it. `is_sampled`: there are more points than columns, and each entry is of a column in which
    points lie, its x that of the last of them; `min`, `max` and `last` are of the finite numbers, null where there is none.
    Otherwise `value` has the exact values at `x`. `count`: how many points the series has in all."""

    run_id: str
    name: str
    x_is: X
    is_sampled: bool
    count: int
    x: list[int]
    min: list[float | None]
    max: list[float | None]
    last: list[float | None]
    value: list[Any]


class SampledList(Body, frozen=True, kw_only=True):
    """The series that there are of those that were asked for."""

    series: list[Sampled]


class MetricColumn(Body, frozen=True, kw_only=True):
    """A column of the table of runs: which value of which metric."""

    name: SeriesName
    value: Literal["last", "first", "min", "max", "mean"] = "last"


class QueryRuns(Body, frozen=True, kw_only=True):
    """Which runs are shown, in which order, and with which columns. The page begins at `offset`, or where `page_token` says;
    `params` and `tags`: those that are wanted, null: all; `with_total`: the answer says how many runs there are in all;
    `with_command`: each row has its run's command."""

    filter: Annotated[str, Meta(max_length=16_384, pattern=r"^[^\x00]*$")] = ""
    order_by: Annotated[list[Text], Meta(max_length=20)] = []
    metrics: Annotated[list[MetricColumn], Meta(max_length=200)] = []
    experiment: Text | None = None
    parent: RunId | None = None
    include_children: bool = False
    include_deleted: bool = False
    page_size: PageSize = 100
    page_token: Text | None = None
    offset: Annotated[int, Meta(ge=0, le=10**9)] = 0
    with_total: bool = False
    with_command: bool = False
    params: Annotated[list[Text], Meta(max_length=200)] | None = None
    tags: Annotated[list[Text], Meta(max_length=200)] | None = None


class QueriedRun(Body, frozen=True, kw_only=True):
    """A row of the table; `metrics` are in the order of the columns that were asked for, null where a run has no such value.
    `cluster` is empty of a run that no queue has placed; `child_count` leaves out hidden children; `command` is there where it
    was asked for."""

    run_id: str
    experiment: str
    name: str
    status: RunStatus
    user: str
    kind: str
    number: int
    parent_run_id: str | None
    cause: str
    created_ns: int
    started_ns: int | None
    ended_ns: int | None
    best_run_id: str | None
    best_value: float | None
    metrics: list[Any]
    params: dict[str, str]
    tags: dict[str, str]
    cluster: str
    phase: str
    hostname: str
    node_count: int
    world_size: int
    is_pinned: bool
    deleted_ms: int | None
    child_count: int
    command: list[str] | UnsetType = UNSET


class RunTable(Body, frozen=True, kw_only=True):
    """A page of the table of runs. `total`: of all pages together, where it was asked for."""

    runs: list[QueriedRun]
    next_page_token: str | None = None
    total: int | None = None
