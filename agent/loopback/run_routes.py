"""Experiments, runs and metrics of the loopback server. Whichever experiment is asked for, it is the run's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from aiohttp import web

from runyard.mlflow import answers, limits, messages
from runyard.mlflow.errors import denied
from runyard.tracking import records

from . import recording
from .asking import NOTHING, SERVER, Handler, Route, answer, asked_of, run_of
from .book import Book, KnownRun
from .known import EXPERIMENT_TAG, PARENT, in_order, page_of, point_of, shown

R = TypeVar("R", bound=messages.RunRequest)


async def experiment(request: web.Request) -> web.Response:
    server = request.app[SERVER]
    server.catch_up()
    return answer(answers.OneExperiment(server.known.experiment()))


async def experiment_id(request: web.Request) -> web.Response:
    asked = await asked_of(request, messages.CreateExperiment)
    limits.check_experiment_name(asked.name)
    return answer(answers.ExperimentId(request.app[SERVER].known.experiment().experiment_id))


async def experiments(request: web.Request) -> web.Response:
    return answer(request.app[SERVER].known.experiments(await asked_of(request, messages.SearchExperiments)))


async def experiment_tag(request: web.Request) -> web.Response:
    asked = await asked_of(request, messages.ExperimentTag)
    limits.check_experiment_tag(asked.key, asked.value)
    request.app[SERVER].record([records.Tag("", EXPERIMENT_TAG + asked.key, asked.value)])
    return answer(NOTHING)


async def experiment_untag(request: web.Request) -> web.Response:
    asked = await asked_of(request, messages.ExperimentTag)
    request.app[SERVER].record([records.Untag("", EXPERIMENT_TAG + asked.key)])
    return answer(NOTHING)


async def experiment_change(request: web.Request) -> web.Response:
    raise denied("A run that takes place cannot change its experiment: do it with the collector's own address")


async def create_run(request: web.Request) -> web.Response:
    server = request.app[SERVER]
    asked = await asked_of(request, messages.CreateRun)
    run = server.asked_again(asked)
    if run is None:
        parent_id = next((tag.value for tag in asked.tags if tag.key == PARENT), "")
        parent = run_of(server, parent_id) if parent_id else server.book.own
        run_id, new = recording.child(asked, parent, server.book)
        server.record(new)
        run = server.book.runs[run_id]
    return answer(answers.OneRun(server.known.whole(run)))


async def get_run(request: web.Request) -> web.Response:
    server = request.app[SERVER]
    asked = await asked_of(request, messages.RunRequest)
    run = run_of(server, asked.run)
    server.catch_up()
    return answer(answers.OneRun(server.known.whole(run)))


async def update_run(request: web.Request) -> web.Response:
    server = request.app[SERVER]
    asked = await asked_of(request, messages.UpdateRun)
    run = run_of(server, asked.run)
    recording.check_active(run)
    server.record(recording.update(asked, run))
    return answer(answers.UpdatedRun(server.known.info(run)))


async def search_runs(request: web.Request) -> web.Response:
    server = request.app[SERVER]
    asked = await asked_of(request, messages.SearchRuns)
    limits.check_max_results(asked.max_results)
    server.catch_up()
    return answer(server.known.runs(asked))


def recorded(kind: type[R], come_to: Callable[[R, KnownRun, Book], list[records.Record]]) -> Handler:
    """The route of a request that names a run and comes to records."""

    async def handle(request: web.Request) -> web.Response:
        server = request.app[SERVER]
        asked = await asked_of(request, kind)
        server.record(come_to(asked, run_of(server, asked.run), server.book))
        return answer(NOTHING)

    return handle


async def history(request: web.Request) -> web.Response:
    server = request.app[SERVER]
    asked = await asked_of(request, messages.History)
    if asked.max_results is not None:
        limits.check_max_results(asked.max_results)
    points = in_order(server.history(run_of(server, asked.run), asked.metric_key))
    page, token = page_of(points, asked)
    return answer(answers.Metrics([point_of(point) for point in page], token))


async def history_interval(request: web.Request) -> web.Response:
    server = request.app[SERVER]
    asked = await asked_of(request, messages.HistoryInterval)
    limits.check_max_results(asked.max_results, limits.MOST_INTERVAL_RESULTS)
    found: list[answers.Metric] = []
    for run_id in asked.run_ids:
        run = run_of(server, run_id)
        points = [point for point in in_order(server.history(run, asked.metric_key)) if _is_between(asked, point.step or 0)]
        points.sort(key=lambda point: (point.step or 0, point.at_ms))
        every = -(-len(points) // asked.max_results) or 1
        kept = points[::every] + (points[-1:] if points and (len(points) - 1) % every else [])
        found += [point_of(point, run_id=shown(run.run_id)) for point in kept]
    return answer(answers.Metrics(found))


def _is_between(asked: messages.HistoryInterval, step: int) -> bool:
    return (asked.start_step is None or asked.start_step <= step) and (asked.end_step is None or step <= asked.end_step)


async def history_bulk(request: web.Request) -> web.Response:
    server = request.app[SERVER]
    asked = await asked_of(request, messages.HistoryBulk)
    found: list[answers.Metric] = []
    for run_id in asked.run_id:
        run = run_of(server, run_id)
        found += [point_of(point, run_id=shown(run_id)) for point in in_order(server.history(run, asked.metric_key))]
    return answer(answers.Metrics(found[: asked.max_results]))


_EXPERIMENTS, _RUNS, _METRICS = "/mlflow/experiments", "/mlflow/runs", "/mlflow/metrics"
ROUTES: list[Route] = [
    ("GET", f"{_EXPERIMENTS}/get-by-name", experiment),
    ("GET", f"{_EXPERIMENTS}/get", experiment),
    ("POST", f"{_EXPERIMENTS}/create", experiment_id),
    ("GET", f"{_EXPERIMENTS}/search", experiments),
    ("POST", f"{_EXPERIMENTS}/search", experiments),
    ("POST", f"{_EXPERIMENTS}/set-experiment-tag", experiment_tag),
    ("POST", f"{_EXPERIMENTS}/delete-experiment-tag", experiment_untag),
    ("POST", f"{_EXPERIMENTS}/update", experiment_change),
    ("POST", f"{_EXPERIMENTS}/delete", experiment_change),
    ("POST", f"{_EXPERIMENTS}/restore", experiment_change),
    ("POST", f"{_RUNS}/create", create_run),
    ("GET", f"{_RUNS}/get", get_run),
    ("POST", f"{_RUNS}/update", update_run),
    ("POST", f"{_RUNS}/search", search_runs),
    ("POST", f"{_RUNS}/log-batch", recorded(messages.Batch, recording.batch)),
    ("POST", f"{_RUNS}/log-metric", recorded(messages.LogMetric, recording.metric)),
    ("POST", f"{_RUNS}/log-parameter", recorded(messages.LogParam, recording.param)),
    ("POST", f"{_RUNS}/set-tag", recorded(messages.LogParam, recording.set_tag)),
    ("POST", f"{_RUNS}/delete-tag", recorded(messages.LogParam, recording.untag)),
    ("POST", f"{_RUNS}/delete", recorded(messages.RunRequest, recording.delete)),
    ("POST", f"{_RUNS}/restore", recorded(messages.RunRequest, recording.restore)),
    ("POST", f"{_RUNS}/log-inputs", recorded(messages.LogInputs, recording.inputs)),
    ("POST", f"{_RUNS}/outputs", recorded(messages.LogOutputs, recording.outputs)),
    ("POST", f"{_RUNS}/log-model", recorded(messages.LogModel, recording.legacy_model)),
    ("GET", f"{_METRICS}/get-history", history),
    ("GET", f"{_METRICS}/get-history-bulk-interval", history_interval),
    ("GET", f"{_METRICS}/get-history-bulk", history_bulk),
]
