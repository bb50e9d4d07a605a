"""The routes of what runs are asked to be, as collector/api.py has all routes."""

from __future__ import annotations

from runyard.collector.auth import ADMIN, USER
from runyard.collector.route import Answer, Route

from . import order_routes
from .messages import SubmitRun

_PEOPLE = frozenset({ADMIN, USER})


def make_routes(v1: str) -> tuple[Route, ...]:
    """The routes below `v1`."""
    return (
        Route(
            "POST", f"{v1}/descriptions", order_routes.describe, "What a run.toml describes", _PEOPLE,
            (Answer(200, order_routes.Described),), body=order_routes.Describe,
        ),
        Route(
            "POST", f"{v1}/clusters/{{cluster}}/checks", order_routes.check_run, "Whether a run could be submitted", _PEOPLE,
            (Answer(200, order_routes.Checked),), body=SubmitRun,
        ),
        Route(
            "GET", f"{v1}/runs/{{run_id}}/order", order_routes.show_order, "What a run of a queue was asked to be", _PEOPLE,
            (Answer(200, order_routes.OrderOfRun),), (404,),
        ),
    )  # fmt: skip
