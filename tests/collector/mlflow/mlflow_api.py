"""MLflow's API for tests, without its client: one call a line."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import quote, urlencode

from tests.collector.node import Answer, call
from tests.collector_process import CollectorProcess

API = "/api/2.0/mlflow/"
FILES = "/api/2.0/mlflow-artifacts/artifacts"


class Mlflow:
    """A client with a token."""

    def __init__(self, collector: CollectorProcess, token: str | None = None) -> None:
        self._collector = collector
        self._token = token

    def ask(self, route: str, body: dict[str, Any] | None = None, method: str = "", **query: Any) -> Answer:
        """POST where there is a body, else GET; the answer, whatever it is."""
        target = f"{API}{route}?{urlencode(query, doseq=True)}" if query else API + route
        return call(self._collector, method or ("GET" if body is None else "POST"), target, body, token=self._token)

    def do(self, route: str, body: dict[str, Any] | None = None, method: str = "", **query: Any) -> Any:
        """The answer's JSON; it has to be a good one."""
        answer = self.ask(route, body, method, **query)
        assert answer.status == 200, (route, answer.status, answer.data)
        return answer.json

    def refused(self, route: str, body: dict[str, Any] | None = None, method: str = "", **query: Any) -> tuple[int, str]:
        """Status and code of an error in MLflow's form, with a sentence in it."""
        answer = self.ask(route, body, method, **query)
        assert set(answer.json) == {"error_code", "message"}, answer.data
        assert len(answer.json["message"]) > 10
        return answer.status, answer.json["error_code"]

    def file(self, method: str, path: str, body: bytes | None = None) -> Answer:
        """A request for a file below the root of all artifacts."""
        return call(self._collector, method, f"{FILES}/{quote(path)}", body, token=self._token)

    def new_run(self, **fields: Any) -> str:
        """A run in "Default"; its id."""
        run_id: str = self.do("runs/create", fields)["run"]["info"]["run_id"]
        return run_id

    def values(self, run_id: str, key: str) -> list[list[Any]]:
        """The history of a metric: value, time, step."""
        found = self.do("metrics/get-history", run_id=run_id, metric_key=key).get("metrics", [])
        return [[one["value"], one["timestamp"], one["step"]] for one in found]


def basic(password: str) -> dict[str, str]:
    """The header that MLflow's clients send for a user and a password."""
    return {"Authorization": "Basic " + base64.b64encode(f"anybody:{password}".encode()).decode()}
