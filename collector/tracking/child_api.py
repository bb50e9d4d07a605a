"""The routes of runs that have children, as collector/api.py has all routes."""

from __future__ import annotations

from runyard.collector import answers
from runyard.collector.auth import ADMIN, RUN, USER
from runyard.collector.route import Answer, Route

from . import client_run_routes, trial_routes

_READERS = frozenset({ADMIN, USER, RUN})


def make_routes(v1: str) -> tuple[Route, ...]:
    """The routes below `v1`."""
    return (
        Route(
            "POST", f"{v1}/client-runs", client_run_routes.create, "Make a run that no node has", _READERS,
            (Answer(201, answers.Run), Answer(200, answers.Run)), (404, 409, 507), body=client_run_routes.CreateClientRun,
        ),
        Route(
            "GET", f"{v1}/runs/{{run_id}}/trials", trial_routes.show_trials, "A run's children as a table", _READERS,
            (Answer(200, trial_routes.TrialsAnswer),), (404,), query=trial_routes.TrialsQuery,
        ),
    )  # fmt: skip
