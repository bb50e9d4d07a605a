"""Where MLflow's clients and the collector meet: which paths are MLflow's, who asks, and how errors are told there. Pure."""

from __future__ import annotations

import base64
import binascii

from aiohttp import web

from runyard.collector.problems import Problem
from runyard.mlflow.errors import ENDPOINT_NOT_FOUND, MlflowError, code_of, error_body

PREFIXES = ("/api/2.0/mlflow/", "/ajax-api/2.0/mlflow/", "/api/2.0/mlflow-artifacts/", "/ajax-api/2.0/mlflow-artifacts/")
_ALL = (*PREFIXES, "/api/3.0/mlflow/", "/ajax-api/3.0/mlflow/")
_KEPT_HEADERS = ("Retry-After", "Allow")


def is_path(path: str) -> bool:
    """Whether MLflow's clients ask for this, and read errors in their own form."""
    return path.startswith(_ALL)


def authorization_of(header: str | None) -> str | None:
    """The header as the gate reads it: of Basic, with which MLflow's clients send a user and a password, the password is the
    token."""
    scheme, _, given = (header or "").partition(" ")
    if scheme.lower() != "basic":
        return header
    try:
        user_and_password = base64.b64decode(given.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    return f"Bearer {user_and_password.partition(':')[2]}"


def error_answer(error: MlflowError | Problem) -> web.Response:
    """The error as MLflow's clients read it."""
    if isinstance(error, MlflowError):
        return web.Response(status=error.status, body=error.body(), content_type="application/json")
    is_unknown = error.code in ("no-such-route", "method-not-allowed")
    code, status = (ENDPOINT_NOT_FOUND, 404) if is_unknown else (code_of(error.status), error.status)
    headers = {name: value for name, value in error.headers.items() if name in _KEPT_HEADERS}
    if status == 507:  # MLflow's clients try again after a 503 and not after a 507
        status = 503
    if status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="the password is the token"'
    return web.Response(status=status, body=error_body(code, error.detail), content_type="application/json", headers=headers)
