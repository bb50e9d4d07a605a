"""The routes of searches, as collector/api.py has all routes."""

from __future__ import annotations

from runyard.collector.auth import ADMIN, RUN, USER
from runyard.collector.route import Answer, Route

from . import messages, routes

_READERS = frozenset({ADMIN, USER, RUN})


def make_routes(v1: str) -> tuple[Route, ...]:
    """The routes below `v1`."""
    run = f"{v1}/runs/{{run_id}}"
    return (
        Route(
            "POST", f"{run}/search", routes.search, "Search a run's files", _READERS,
            (Answer(content_type=routes.CONTENT_TYPE),), (404, 503), body=messages.SearchRun,
        ),
        Route(
            "GET", f"{run}/lines", routes.find_line, "A line's place in a file", _READERS,
            (Answer(200, messages.Place),), (404, 422), query=messages.LinesQuery,
        ),
    )  # fmt: skip
