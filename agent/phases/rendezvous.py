"""The rendezvous phase of a run on several nodes: all of them meet at the collector before any starts its processes.

Reads from the collector; writes who has come to the 55 log, and hands on who they are, the head's address and port, and a
secret that only they know. What survives a kill -9 of this process: its time limit, and that this node has come.
"""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from typing import Any

from runyard import names
from runyard.agent import proctree
from runyard.agent.free_ports import first_free_port
from runyard.agent.node import ip_towards
from runyard.atomic import read_json
from runyard.client import CollectorClient, path_segment
from runyard.errors import CollectorBusy, CollectorError, CollectorRefused, PhaseError

from .phase import Phase

# How long the collector may keep an answer back until the others have come; more of many, so that they do not ask all the time.
WAIT_S = 5.0
WAIT_OF_MANY_S = 30.0
MANY_NODES = 100
# Between two tries while it cannot be reached.
PAUSE_S = 0.5
LONGEST_PAUSE_S = 5.0
ANSWER_S = 15.0
# Node ranks and nodes that a sentence names.
MOST_NAMED = 20


def run(phase: Phase) -> dict[str, Any]:
    """Meet the other nodes: {"members", "secret", "master_addr", "master_port"}. Blocks.

    Raises PhaseError where they do not come in time or cannot come any more.
    """
    if not phase.run["collector_url"]:
        raise PhaseError("a run on several nodes needs a collector, where they meet; name it with --collector")
    return _Rendezvous(phase).meet()


class _Rendezvous:
    """This node's way to the others."""

    def __init__(self, phase: Phase) -> None:
        self._phase = phase
        self._distribution: dict[str, Any] = phase.run["distribution"]
        self._node_count = int(self._distribution["node_count"])
        self._limit_s = float(self._distribution["rendezvous_s"])
        self._deadline_s = _begun_s(phase) + self._limit_s
        self._url: str = phase.run["collector_url"]
        self._client = CollectorClient(self._url, phase.run["run_token"], timeout_s=ANSWER_S)
        self._path = f"/runs/{path_segment(phase.run['run_id'])}/rendezvous"
        self._members: list[dict[str, Any]] | None = None  # who has come, as far as the collector has told
        self._trouble = ""  # why it was not reached the last time
        self._said: set[int] = set()  # node ranks whose coming was told

    def meet(self) -> dict[str, Any]:
        count = len(self._phase.run["ranks"])
        ip, port = ip_towards(self._url), first_free_port(count)
        sockets = _hold(ip, port, count)
        try:
            rank, limit = self._distribution["node_rank"], _span(self._limit_s)
            self._phase.say(f"This is node {rank} of {self._node_count} ({ip}, port {port}); the others have {limit} to come.")
            found = self._wait({"ip": ip, "port": port})
        finally:
            for one in sockets:
                one.close()
            self._client.close()
        head = found["members"][0]
        self._phase.say(f"All {self._node_count} nodes are here; the head is {head['ip']}, port {head['port']}.")
        return {key: found[key] for key in ("members", "secret")} | {"master_addr": head["ip"], "master_port": head["port"]}

    def _wait(self, place: dict[str, Any]) -> dict[str, Any]:
        run, distribution = self._phase.run, self._distribution
        body = {"node_id": run["node_id"], "node_rank": distribution["node_rank"], "attempt": run.get("attempt", 0)}
        body |= {"hostname": run["hostname"], "processes": len(run["ranks"]), "ranks": run["ranks"]} | place
        pause_s = PAUSE_S
        while (left_s := self._deadline_s - time.monotonic()) > 0:
            try:
                found: dict[str, Any] = self._ask(body, left_s)
            except CollectorError as error:
                self._note(error)
                time.sleep(max(0.0, min(pause_s, self._deadline_s - time.monotonic())))
                pause_s = min(pause_s * 1.5, LONGEST_PAUSE_S)
                continue
            pause_s = PAUSE_S
            self._tell(found["members"])
            if found["is_whole"]:
                return found
        raise PhaseError(self._why_not())

    def _ask(self, body: dict[str, Any], left_s: float) -> dict[str, Any]:
        wait_s = min(WAIT_S if self._node_count < MANY_NODES else WAIT_OF_MANY_S, left_s)
        params = {"wait_s": f"{wait_s:.3f}"}
        found: dict[str, Any] = self._client.json("POST", self._path, body, params=params, timeout_s=wait_s + ANSWER_S)
        return found

    def _note(self, error: CollectorError) -> None:
        """What may pass is told once; a refusal ends the phase, but for a collector that does not know the run yet."""
        if isinstance(error, CollectorRefused) and error.status not in (401, 404):
            raise PhaseError(str(error))
        trouble = str(error)
        if isinstance(error, CollectorRefused):
            trouble = f"the collector at {self._url} does not know this run or this node of it yet ({error})"
        elif isinstance(error, CollectorBusy):
            trouble = f"the collector at {self._url} is busy: {error}"
        if trouble != self._trouble:
            self._trouble = trouble
            self._phase.say(f"{trouble}; it is tried again.")

    def _tell(self, members: list[dict[str, Any]]) -> None:
        self._members, self._trouble = members, ""
        for member in members:
            if member["node_rank"] not in self._said:
                self._said.add(member["node_rank"])
                self._phase.say(
                    f"Node {member['node_rank']} of {self._node_count} is here: {member['ip']} ({member['hostname']})."
                )

    def _why_not(self) -> str:
        if self._members is None:
            return (
                f"after {_span(self._limit_s)} it is not known which nodes have come: {self._trouble or 'nothing was answered'}"
            )
        here = {
            member["node_rank"]: f"{member['node_rank']} ({member['ip']}, {member['hostname']})" for member in self._members
        }
        absent = [str(rank) for rank in range(self._node_count) if rank not in here]
        word = "node rank" if len(absent) == 1 else "node ranks"
        which = f"{word} {_listed(absent)} of {self._node_count}"
        last = f"; at last {self._trouble}" if self._trouble else ""
        return (
            f"after {_span(self._limit_s)} these nodes have not come: {which}; here are: {_listed(list(here.values()))}{last}"
        )


def _begun_s(phase: Phase) -> float:
    """When the phase began, on the monotonic clock: a process that follows one that died has no more time."""
    record = read_json(str(phase.run_dir / names.phase_dir(phase.name) / "started.json")) or {}
    if record.get("boot_id") != proctree.boot_id():
        return time.monotonic()
    return float(record.get("begun_mono_ns") or time.monotonic_ns()) / 1e9


def _hold(ip: str, port: int, count: int) -> list[socket.socket]:
    """Keep the ports until all have come: whoever asks the kernel for one in the meantime gets another."""
    held = []
    for number in range(port, port + count):
        one = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_STREAM)
        held.append(one)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):  # taken since it was seen free: the process that needs it will say so
            one.bind((ip, number))
    return held


def _listed(words: list[str]) -> str:
    more = len(words) - MOST_NAMED
    return ", ".join(words[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _span(seconds: float) -> str:
    for unit, length_s in (("h", 3600), ("m", 60)):
        if seconds >= length_s and seconds % length_s == 0:
            return f"{seconds / length_s:g}{unit}"
    return f"{seconds:g}s"
