"""What the loopback server answers of its run, the run's children and models: MLflow's messages, made of the book. Pure.

MLflow's clients take no dot in a run's id; where ours has one they are given, and give, the id with a dash in its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from runyard.mlflow import answers, datasets, evaluate, filters, messages, paging
from runyard.mlflow.errors import invalid
from runyard.mlflow.evaluate import Facts, Used
from runyard.tracking import records

from .book import Book, KnownModel, KnownRun, Point

RUN_NAME = "mlflow.runName"
EXPERIMENT_TAG = "experiment."  # a run's tag that its client has set on the experiment
PARENT = "mlflow.parentRunId"
# How filters call the statuses of models.
_SHORT = {"LOGGED_MODEL_PENDING": "PENDING", "LOGGED_MODEL_READY": "READY", "LOGGED_MODEL_UPLOAD_FAILED": "FAILED"}


def shown(run_id: str) -> str:
    """A run's id as MLflow's clients take it."""
    return run_id.replace(".", "-")


@dataclass(frozen=True, slots=True)
class Experiment:
    """The experiment of the run: whichever name a script asks for, it is this one."""

    experiment_id: str
    name: str
    created_ms: int


class Known:
    """Answers from the book; what they say is a copy."""

    def __init__(self, book: Book, experiment: Experiment) -> None:
        self.book = book
        self._experiment = experiment

    def run(self, run_id: str) -> KnownRun | None:
        """The run of that id, however it is written; None: it is none of this run's."""
        found = self.book.runs.get(run_id)
        if found is None:
            found = next((run for run in self.book.runs.values() if shown(run.run_id) == run_id), None)
        return found

    def experiment(self) -> answers.Experiment:
        """The run's experiment."""
        start, own = len(EXPERIMENT_TAG), self.book.own
        tags = {key[start:]: value for key, value in own.tags.items() if key.startswith(EXPERIMENT_TAG)}
        one = self._experiment
        location = f"mlflow-artifacts:/{one.experiment_id}"
        return answers.Experiment(
            one.experiment_id, one.name, location, answers.ACTIVE, one.created_ms, one.created_ms, answers.pairs(tags)
        )

    def experiments(self, asked: messages.SearchExperiments) -> answers.Experiments:
        """The run's experiment, where it is looked for."""
        one = self.experiment()
        attributes: dict[str, int | float | str | None] = {
            "name": one.name,
            "experiment_id": one.experiment_id,
            "creation_time": one.creation_time,
            "last_update_time": one.last_update_time,
        }
        clauses = filters.parse_filter(asked.filter, filters.EXPERIMENTS)
        facts = Facts(attributes, tags={tag.key: tag.value for tag in one.tags})
        is_meant = messages.view_of(asked.view_type) != messages.DELETED_ONLY and evaluate.matches(clauses, facts)
        return answers.Experiments([one] if is_meant else [])

    def info(self, run: KnownRun) -> answers.RunInfo:
        """What a run is and how it is."""
        run_id = shown(run.run_id)
        return answers.RunInfo(
            run_id=run_id,
            run_uuid=run_id,
            run_name=run.name,
            experiment_id=self._experiment.experiment_id,
            user_id=run.user,
            status=run.status,
            start_time=run.start_ms,
            artifact_uri=f"mlflow-artifacts:/{self._experiment.experiment_id}/{run_id}/artifacts",
            lifecycle_stage=answers.DELETED if run.is_deleted else answers.ACTIVE,
            end_time=run.end_ms,
        )

    def whole(self, run: KnownRun) -> answers.Run:
        """A run with what it has logged."""
        metrics = [_metric(name, point) for name, point in run.metrics.items()]
        data = answers.RunData(metrics, answers.pairs(run.earlier_params | run.params), answers.pairs(_tags(run)))
        inputs = answers.RunInputs(
            [datasets.input_of(one) for one in run.datasets.values()],
            [msgspec.convert(one, messages.ModelInput) for one in run.model_inputs.values()],
        )
        outputs = [msgspec.convert(one, messages.ModelOutput) for one in run.model_outputs.values()]
        return answers.Run(self.info(run), data, inputs, answers.RunOutputs(outputs) if outputs else None)

    def runs(self, asked: messages.SearchRuns) -> answers.Runs:
        """The run and its children, as far as they are looked for; the youngest first where no order is asked for."""
        view = messages.view_of(asked.run_view_type)
        clauses, orders = filters.parse_filter(asked.filter), filters.parse_orders(asked.order_by)
        found = sorted(self.book.runs.values(), key=lambda run: (-run.start_ms, run.run_id))
        found = [
            run for run in found if _is_in_view(view, is_deleted=run.is_deleted) and evaluate.matches(clauses, self._facts(run))
        ]
        found = evaluate.ordered(found, orders, self._facts)
        page, token = _page(found, asked.page_token, asked.max_results)
        return answers.Runs([self.whole(run) for run in page], token)

    def _facts(self, run: KnownRun) -> Facts:
        info = self.info(run)
        attributes: dict[str, int | float | str | None] = {
            name: getattr(info, name) for name in (*filters.RUNS.texts, *filters.RUNS.numbers)
        }
        metrics = {name: point.value for name, point in run.metrics.items()}
        return Facts(
            attributes, metrics, run.earlier_params | run.params, _tags(run), [_used(one) for one in run.datasets.values()]
        )

    def model(self, model: KnownModel) -> answers.LoggedModel:
        """A model with what is known of it."""
        document, experiment_id = model.document, self._experiment.experiment_id
        info = answers.ModelInfo(
            experiment_id=experiment_id,
            model_id=model.model_id,
            name=document.get("name", ""),
            artifact_uri=f"mlflow-artifacts:/{experiment_id}/models/{model.model_id}/artifacts",
            creation_timestamp_ms=model.created_ms,
            last_updated_timestamp_ms=model.updated_ms,
            status=document.get("status", messages.MODEL_STATUSES[1]),
            model_type=document.get("model_type") or None,
            source_run_id=shown(model.run_id) or None,
            status_message=document.get("status_message") or None,
            tags=answers.pairs(document.get("tags") or {}),
        )
        metrics = [_metric(key[0], point, run_id=shown(key[1])) for key, point in model.metrics.items()]
        return answers.LoggedModel(info, answers.ModelData(answers.pairs(document.get("params") or {}), metrics))

    def models(self, asked: messages.SearchModels) -> answers.Models:
        """The models that are looked for; the youngest first where no order is asked for."""
        clauses = filters.parse_filter(asked.filter, filters.MODELS)
        found = sorted(self.book.models.values(), key=lambda model: (-model.created_ms, model.model_id))
        found = [
            model for model in found if not model.is_deleted and evaluate.matches(clauses, self._facts_of_model(model, asked))
        ]
        for order in reversed(asked.order_by):
            found = evaluate.ordered(found, [_order_of_model(order)], lambda model: self._facts_of_model(model, asked))
        page, token = _page(found, asked.page_token, asked.max_results)
        return answers.Models([self.model(model) for model in page], token)

    def _facts_of_model(self, model: KnownModel, asked: messages.SearchModels) -> Facts:
        info = self.model(model).info
        attributes: dict[str, int | float | str | None] = {
            name: getattr(info, name, None) for name in (*filters.MODELS.texts, *filters.MODELS.numbers)
        }
        attributes["status"] = _SHORT.get(info.status)
        wanted = {(one.dataset_name, one.dataset_digest) for one in asked.datasets}
        points: dict[str, Point] = {}
        for (name, _, dataset, digest), point in model.metrics.items():
            if not wanted or (dataset, digest) in wanted or (dataset, "") in wanted:
                known = points.get(name)
                points[name] = point if known is None or point.order >= known.order else known
        metrics = {name: point.value for name, point in points.items()}
        return Facts(attributes, metrics, model.document.get("params") or {}, model.document.get("tags") or {})


def point_of(record: records.Metric, *, run_id: str | None = None) -> answers.Metric:
    """A point of a history."""
    value = answers.number(float(record.value))
    return answers.Metric(
        record.name, value, record.at_ms, record.step or 0, run_id, record.model_id or None, record.dataset_name or None,
        record.dataset_digest or None,
    )  # fmt: skip


def in_order(points: Iterable[records.Metric]) -> list[records.Metric]:
    """A history as MLflow has it: by time, step and value, each point once."""
    known: dict[tuple[Any, ...], records.Metric] = {}
    for point in points:
        value = float(point.value)
        known.setdefault((point.at_ms, point.step or 0, 0.0 if value != value else value, value != value), point)
    return [known[key] for key in sorted(known)]


def page_of(points: Sequence[records.Metric], asked: messages.History) -> tuple[Sequence[records.Metric], str | None]:
    """The part of a history that is asked for, and the token of the next one."""
    if asked.max_results is None:
        return points, None
    return _page(points, asked.page_token, asked.max_results)


def _page(found: Sequence[Any], token: str, count: int) -> tuple[Sequence[Any], str | None]:
    first = paging.offset_of(token)
    page = found[first : first + count]
    return page, paging.token_at(first + count) if first + count < len(found) else None


def _metric(name: str, point: Point, *, run_id: str | None = None) -> answers.Metric:
    value = answers.number(point.value)
    return answers.Metric(
        name, value, point.at_ms, point.step, run_id, point.model_id or None, point.dataset_name or None,
        point.dataset_digest or None,
    )  # fmt: skip


def _tags(run: KnownRun) -> dict[str, str]:
    named = {RUN_NAME: run.name} if run.name else {}
    above = {PARENT: shown(run.parent)} if run.parent else {}
    return above | named | {key: value for key, value in run.tags.items() if not key.startswith(EXPERIMENT_TAG)} | named


def _is_in_view(view: str, *, is_deleted: bool) -> bool:
    return view == messages.ALL or is_deleted == (view == messages.DELETED_ONLY)


def _used(document: dict[str, Any]) -> Used:
    one = datasets.input_of(document)
    dataset = one.dataset or messages.Dataset()
    return Used(dataset.name, dataset.digest, tuple(tag.value for tag in one.tags if tag.key == datasets.CONTEXT))


def _order_of_model(order: messages.ModelOrder) -> filters.Order:
    kind, dot, name = order.field_name.partition(".")
    if dot and kind != "metrics":
        raise invalid(f"Invalid order by field name: {order.field_name}. Only metrics are supported.")
    if dot:
        return filters.Order(filters.METRIC, name, order.ascending)
    return filters.Order(filters.ATTRIBUTE, filters.MODELS.attribute(order.field_name), order.ascending)
