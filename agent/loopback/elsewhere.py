"""What the loopback server asks the collector: questions about other runs, passed on as they came, with the run's own token.

An answer comes soon, or the client is told that none will: what is answered with 429 or 5xx, or not at all, MLflow's clients
try again for minutes, and the training waits.
"""

from __future__ import annotations

from typing import Any

import aiohttp
from aiohttp import web
from yarl import URL

from runyard.mlflow.errors import TEMPORARILY_UNAVAILABLE, error_body

TIMEOUT = aiohttp.ClientTimeout(total=10.0, connect=1.0, sock_connect=1.0)
STARTING = aiohttp.ClientTimeout(total=1.5, connect=1.0, sock_connect=1.0)
# Failed Dependency: none of those that are tried again.
NO_ANSWER = 424
_RETRIED = frozenset({408, 429, 500, 502, 503, 504})


class Elsewhere:
    """The collector, as far as it can be reached. An empty `url`: there is none."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"}
        self._session: aiohttp.ClientSession | None = None

    async def ask(self, request: web.Request, what: str) -> web.StreamResponse:
        """The collector's answer to a request that is none of ours; `what` it is about, for who gets none."""
        if not self._url:
            return _no_answer(f"{what} is not known on this node, and the run has no collector")
        # An artifact goes through as it comes; any other body was read already.
        body: Any = request.content if request.method == "PUT" else await request.read()
        headers = self._headers | {"Content-Type": request.content_type}
        url = URL(self._url + request.rel_url.raw_path_qs, encoded=True)
        try:
            async with self._open().request(request.method, url, data=body or None, headers=headers, timeout=TIMEOUT) as answer:
                if answer.status in _RETRIED:
                    return _no_answer(f"{what} is not known on this node, and the collector answers {answer.status} for now")
                return web.Response(status=answer.status, body=await answer.read(), content_type=answer.content_type)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return _no_answer(f"{what} is not known on this node, and the collector cannot be reached: {type(error).__name__}")

    async def experiment_id(self, run_id: str) -> str:
        """The number of the run's experiment; empty where the collector does not tell it at once."""
        if not self._url:
            return ""
        url = f"{self._url}/api/2.0/mlflow/runs/get"
        try:
            async with self._open().get(url, params={"run_id": run_id}, headers=self._headers, timeout=STARTING) as answer:
                found: Any = await answer.json() if answer.status == 200 else {}
                return str(found["run"]["info"]["experiment_id"])
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, LookupError, TypeError):
            return ""

    async def close(self) -> None:
        """Close its connections."""
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(trust_env=False)
        return self._session


def _no_answer(detail: str) -> web.Response:
    return web.Response(status=NO_ANSWER, body=error_body(TEMPORARILY_UNAVAILABLE, detail), content_type="application/json")
