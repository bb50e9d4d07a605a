"""The node's way to the collector: joining its cluster, renewing its token, heartbeats, work. Each call blocks for one request.

Reads the join token's file and the credentials; writes to the collector and, through the store, new credentials.
Raises CollectorError's kinds, InputError and SpoolError.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from runyard import __version__
from runyard.agent.node import ip_towards
from runyard.client import CollectorClient, path_segment
from runyard.errors import CollectorRefused, CollectorUnreachable, InputError, SpoolError
from runyard.settings import token_in

from .capacity import capacity
from .credentials import Credentials, CredentialStore

# A token of so many seconds is exchanged for a new one.
RENEW_AFTER_S = 86400.0
# Beside the time that the collector may hold back its answer.
ANSWER_S = 10.0


class Link:
    """What the agent's threads share: who this node is to the collector. May be called from any thread."""

    def __init__(self, url: str, store: CredentialStore, node_id: str, join_token_file: str) -> None:
        self._url = url
        self._store = store
        self._node_id = node_id
        self._join_token_file = join_token_file
        self._guard = threading.Lock()  # one joins or renews
        CollectorClient(url, "").close()  # an address that is none is told at the start
        self._known = self._loaded()

    @property
    def is_member(self) -> bool:
        """Whether there are credentials that the collector has not refused."""
        return bool(self._known and self._known.token)

    @property
    def cluster(self) -> str:
        """The cluster's name; empty before this node has joined."""
        return self._known.cluster if self._known else ""

    @property
    def token(self) -> str:
        """By what the collector knows this node now."""
        return self._known.token if self._known else ""

    def line(self) -> Line:
        """A connection for one thread."""
        return Line(self, self._url)

    def join(self) -> None:
        """Join the cluster with the join token. Raises InputError where there is none, or only the one that was used before."""
        with self._guard:
            if self.is_member:
                return
            token = self._join_token()
            digest = hashlib.sha256(token.encode()).hexdigest()
            if self._known is not None and self._known.join_token_sha256 == digest:
                # It may be good for more nodes; but then whoever has put this one out would find it back at once.
                raise InputError(
                    f"the collector does not know this node any more: it was removed, or its token revoked. The join token in"
                    f" {self._join_token_file} is the one that it came with; have a new one made"
                    " (`runyard clusters token NAME`)"
                )
            client = CollectorClient(self._url, token, timeout_s=ANSWER_S)
            try:
                answer = client.json("POST", "/nodes", self._who())
            except CollectorRefused as error:
                if error.status == 401:
                    raise InputError(f"the join token in {self._join_token_file} is refused: {error}") from error
                raise
            finally:
                client.close()
            self._keep(answer, digest)

    def renew_if_due(self, line: Line) -> None:
        """Exchange a token that is old; the old one is good until the new one is used."""
        with self._guard:
            known = self._known
            if known is None or not known.token or time.time_ns() - known.made_ns < RENEW_AFTER_S * 1e9:
                return
            answer = line.json("POST", f"/nodes/{path_segment(self._node_id)}/token")
            self._keep(answer, known.join_token_sha256)

    def refused(self, token: str) -> None:
        """The collector does not know `token` any more. Nothing happens where that was an earlier one."""
        with self._guard:
            if self._known is not None and self._known.token == token:
                self._known = replace(self._known, token="", token_id="")
                if self._known.collector_url == self._url:  # at a new address there may be another collector
                    with suppress(OSError):  # then it is refused again after the next start
                        self._store.keep(self._known)

    def _who(self) -> dict[str, Any]:
        return {
            "node_id": self._node_id,
            "machine": self._store.machine(),
            "hostname": os.uname().nodename,
            "ip": ip_towards(self._url),
            "agent_version": __version__,
            "capacity": capacity(),
        }

    def _keep(self, answer: Mapping[str, Any], join_token_sha256: str) -> None:
        try:
            told = {name: str(answer[name]) for name in ("cluster", "token_id", "token")}
        except (KeyError, TypeError) as error:
            raise CollectorUnreachable(f"the server at {self._url} does not answer as a collector does") from error
        place = {"collector_url": self._url, "node_id": self._node_id, "machine": self._store.machine()}
        found = Credentials(**place, **told, made_ns=time.time_ns(), join_token_sha256=join_token_sha256)
        # On the disk before anybody uses it: with its first use the one before it dies.
        try:
            self._store.keep(found)
        except OSError as error:
            raise SpoolError(f"the node's new token cannot be kept in {self._store.state_dir}: {error.strerror}") from error
        self._known = found

    def _loaded(self) -> Credentials | None:
        found = self._store.load()
        # With another spool it would be another node.
        return found if found is not None and found.node_id == self._node_id else None

    def _join_token(self) -> str:
        if not self._join_token_file:
            raise InputError(
                "this node has not joined a cluster and no join token is set: have one made (`runyard clusters token NAME`)"
                " and name the file that holds it as agent.join_token_file"
            )
        return token_in(self._join_token_file, "agent.join_token_file")


class Line:
    """One thread's connection. It is made anew when the node's token has changed."""

    def __init__(self, link: Link, url: str) -> None:
        self._link = link
        self._url = url
        self._token = ""
        self._client: CollectorClient | None = None

    def json(
        self, method: str, path: str, body: object = None, *, params: Mapping[str, object] | None = None, wait_s: float = 0.0
    ) -> Any:
        """One request as this node. A token that the collector does not know is given up before CollectorRefused is raised."""
        if self._client is None or self._token != self._link.token:
            self.close()
            self._token = self._link.token
            self._client = CollectorClient(self._url, self._token, timeout_s=ANSWER_S)
        try:
            return self._client.json(method, path, body, params=params, timeout_s=ANSWER_S + wait_s)
        except CollectorRefused as error:
            if error.status == 401:
                self._link.refused(self._token)
            raise

    def close(self) -> None:
        """Close it; it can be used again."""
        if self._client is not None:
            self._client.close()
            self._client = None
