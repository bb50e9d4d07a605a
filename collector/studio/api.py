"""The routes of browsers' sessions, as collector/api.py has all routes."""

from __future__ import annotations

from runyard.collector.auth import ADMIN, USER
from runyard.collector.route import Answer, Route

from . import session_routes

_PEOPLE = frozenset({ADMIN, USER})


def make_routes(v1: str) -> tuple[Route, ...]:
    """The routes below `v1`."""
    session = (Answer(201, session_routes.Session, headers=("Set-Cookie",)),)
    return (
        Route(
            "POST", f"{v1}/session", session_routes.log_in, "Log in", None, session, (401, 403, 507),
            body=session_routes.LogIn,
        ),
        Route(
            "GET", f"{v1}/session", session_routes.show_session, "Who has logged in", _PEOPLE,
            (Answer(200, session_routes.Session),),
        ),
        Route("DELETE", f"{v1}/session", session_routes.log_out, "Log out", None, (Answer(204),), (507,)),
        Route(
            "POST", f"{v1}/session-codes", session_routes.make_code, "Make a code for one login", _PEOPLE,
            (Answer(201, session_routes.LoginCode),), (507,),
        ),
    )  # fmt: skip
