"""The routes of records and metrics, as collector/api.py has all routes."""

from __future__ import annotations

from runyard.collector.auth import ADMIN, NODE, RUN, USER
from runyard.collector.route import Answer, Route

from . import answers, experiment_routes, known_names, metric_routes, query_routes, record_routes

_PEOPLE = frozenset({ADMIN, USER})
_READERS = frozenset({ADMIN, USER, RUN})
_WRITERS = frozenset({ADMIN, USER, NODE, RUN})


def make_routes(v1: str) -> tuple[Route, ...]:
    """The routes below `v1`."""
    run = f"{v1}/runs/{{run_id}}"
    return (
        Route(
            "POST", f"{run}/records", record_routes.post_records, "Record metrics, labels, children", _WRITERS,
            (Answer(200, answers.RecordsAnswer),), (404, 410, 413, 507),
            query=answers.RecordsQuery, body_type=record_routes.NDJSON_TYPE,
        ),
        Route(
            "GET", f"{run}/records", record_routes.list_journals, "How far a run's journals are applied", _READERS,
            (Answer(200, answers.Journals),), (404,),
        ),
        Route(
            "GET", f"{run}/metrics", metric_routes.list_metrics, "A run's metrics without their values", _READERS,
            (Answer(200, answers.MetricList),), (404,), query=answers.MetricsQuery,
        ),
        Route(
            "GET", f"{run}/metrics/values", metric_routes.list_values, "The values of a metric", _READERS,
            (Answer(200, answers.Values),), (404,), query=answers.ValuesQuery,
        ),
        Route(
            "GET", f"{v1}/metrics/sampled", metric_routes.sample_metrics, "Metrics of runs as charts show them", _READERS,
            (Answer(200, answers.SampledList),), (404,), query=answers.SampledQuery,
        ),
        Route(
            "GET", f"{v1}/experiments", experiment_routes.list_experiments, "List experiments", _PEOPLE,
            (Answer(200, experiment_routes.ExperimentList),), query=experiment_routes.ExperimentsQuery,
        ),
        Route(
            "POST", f"{v1}/experiments", experiment_routes.create_experiment, "Make an experiment", _PEOPLE,
            (Answer(201, experiment_routes.Experiment), Answer(200, experiment_routes.Experiment)), (409, 507),
            body=experiment_routes.CreateExperiment,
        ),
        Route(
            "GET", f"{v1}/experiments/{{experiment_id}}", experiment_routes.show_experiment, "Show an experiment", _PEOPLE,
            (Answer(200, experiment_routes.Experiment),), (404,),
        ),
        Route(
            "POST", f"{v1}/runs/query", query_routes.query, "Runs as a table, with columns of metrics", _READERS,
            (Answer(200, answers.RunTable),), body=answers.QueryRuns,
        ),
        Route(
            "GET", f"{v1}/known-names", known_names.list_known_names, "Names that are in use", _PEOPLE,
            (Answer(200, known_names.KnownNames),), query=known_names.KnownNamesQuery,
        ),
    )  # fmt: skip
