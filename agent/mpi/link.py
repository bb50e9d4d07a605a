"""The connection between mpirun's remote-start agent on the head node and the daemon of another node.

Both know the run's secret (from the rendezvous) and prove it to each other before a command is told; the command is part of
the proof. Afterwards frames go from the node to the head: what the command prints, and how it ended. Standard library only.
Nothing is encrypted, as nothing is between MPI's own processes.
"""

from __future__ import annotations

import hmac
import json
import os
import socket
import struct
from collections.abc import Iterator
from typing import Any, Final

from runyard import names
from runyard.atomic import read_json

OUT: Final = 1
ERR: Final = 2
EXIT: Final = 3
_HEADER = struct.Struct(">BI")
# A command line is a few kB; a line of the handshake that is longer is none of ours.
MOST_LINE_BYTES = 1 << 20
HANDSHAKE_S = 20.0
# A partition of a minute must not end what runs; a node that is gone for so long is gone.
SILENCE_S, PROBE_S, PROBES = 60, 30, 10


class LinkError(Exception):
    """What is wrong with the other side, as the end of a sentence that names it."""


class Link:
    """One connection. Blocks in all it does; nothing is kept of it when it is closed."""

    def __init__(self, connection: socket.socket, secret: str) -> None:
        self.socket = connection
        self._secret = bytes.fromhex(secret)
        self._rest = b""
        connection.settimeout(HANDSHAKE_S)

    def ask(self, request: dict[str, Any]) -> None:
        """The head's side of the handshake; LinkError where the other one does not know the secret."""
        ours = os.urandom(16).hex()
        self._send({"nonce": ours})
        answer = self._receive()
        theirs = str(answer.get("nonce", ""))
        if not hmac.compare_digest(str(answer.get("proof", "")), self._proof("node", ours, theirs, "")):
            raise LinkError("what listens there does not know this run's secret")
        body = json.dumps(request)
        self._send({"body": body, "proof": self._proof("head", ours, theirs, body)})
        self._keep()

    def answer(self) -> dict[str, Any]:
        """The node's side of the handshake; returns what the head asks, LinkError where it does not know the secret."""
        theirs = str(self._receive().get("nonce", ""))
        ours = os.urandom(16).hex()
        self._send({"nonce": ours, "proof": self._proof("node", theirs, ours, "")})
        asked = self._receive()
        body = str(asked.get("body", ""))
        if not hmac.compare_digest(str(asked.get("proof", "")), self._proof("head", theirs, ours, body)):
            raise LinkError("it does not know this run's secret")
        self._keep()
        request: dict[str, Any] = json.loads(body)
        return request

    def tell(self, kind: int, data: bytes) -> None:
        """One frame."""
        self.socket.sendall(_HEADER.pack(kind, len(data)) + data)

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """The other side's frames, until it closes."""
        while header := self._take(_HEADER.size):
            kind, length = _HEADER.unpack(header)
            yield kind, self._take(length)

    def _proof(self, side: str, head: str, node: str, body: str) -> str:
        # Who proves is part of it: nobody can send us back what we have sent.
        return hmac.new(self._secret, "\0".join((side, head, node, body)).encode(), "sha256").hexdigest()

    def _keep(self) -> None:
        self.socket.settimeout(None)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, SILENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, PROBE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, PROBES)

    def _send(self, value: dict[str, Any]) -> None:
        self.socket.sendall(json.dumps(value).encode() + b"\n")

    def _receive(self) -> dict[str, Any]:
        while b"\n" not in self._rest:
            data = self.socket.recv(1 << 16)
            if not data:
                raise LinkError("it closed the connection")
            self._rest += data
            if len(self._rest) > MOST_LINE_BYTES:
                raise LinkError("what it says is no handshake of ours")
        line, _, self._rest = self._rest.partition(b"\n")
        try:
            value = json.loads(line)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise LinkError("what it says is no handshake of ours")
        return value

    def _take(self, count: int) -> bytes:
        """`count` bytes; fewer where the other side closes before."""
        while len(self._rest) < count:
            data = self.socket.recv(1 << 16)
            if not data:
                self._rest = b""
                break
            self._rest += data
        taken, self._rest = self._rest[:count], self._rest[count:]
        return taken


def meeting(run_dir: str) -> dict[str, Any]:
    """What the rendezvous has come to: `members` by node rank and the run's `secret`. Empty where it took place nowhere."""
    result = read_json(os.path.join(run_dir, names.phase_dir("rendezvous"), "result.json")) or {}
    data: dict[str, Any] = result.get("data") or {}
    return data
