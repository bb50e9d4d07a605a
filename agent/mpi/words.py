"""What mpirun's own words say: why it could not start, or which rank it saw fail first. Pure; standard library only.

A table: each entry is a pattern of one message of Open MPI (4.1, 5.0) or Hydra and the sentence that is made of it. The first
entry that fits wins: those that name a reason stand before those that only tell that something failed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Words:
    """`cause` in one sentence; [start, end): its bytes in the log.

    `is_of_rank`: a rank has failed, not mpirun; `rank` is the one that is named, None where none is.
    """

    cause: str
    is_of_rank: bool
    rank: int | None
    start: int
    end: int


# Sentences may name the pattern's groups. The group `rank`, be it empty, is a rank's end, which is no failure of mpirun's.
_TABLE = [
    (r"^runyard: (?P<why>(?:the host|nothing could be started) .+)$", "mpirun could not start everywhere: {why}"),
    (r"^runyard: rank \d+ cannot be started: (?P<why>.+)$", "mpirun could not start every rank: {why}"),
    (
        r"^There are not enough slots available in the system to satisfy the (?P<count>\d+)\s+slots",
        "mpirun could not start: {count} processes were asked for, and there are not enough slots for them",
    ),
    (
        r"^All nodes which are allocated for this job are already filled",
        "mpirun could not start: there are not enough slots, all nodes are filled",
    ),
    (
        r"^mpirun was unable to find the specified executable file[\s\S]+?^Node: +(?P<node>\S+)\nExecutable: +(?P<name>.+)$",
        "mpirun could not start: {name} is not on node {node}",
    ),
    (
        r"could not\nchange to the specified working directory:\n\nWorking directory: (?P<name>.+)\nNode: (?P<node>\S+)$",
        "mpirun could not start: the folder {name} is not on node {node}",
    ),
    (r"^mpi\w+: Error: unknown option \"(?P<name>.+)\"$", "mpirun could not start: it does not know the option {name}"),
    (
        r"^The following MCA parameter has been listed multiple times[\s\S]+?^  MCA param: +(?P<name>\S+)$",
        "mpirun could not start: the MCA parameter {name} was given twice",
    ),
    (
        r"^The value of the MCA parameter \"plm_rsh_agent\" was set to a path\nthat could not be found:\n\n.+: (?P<name>.+)$",
        "mpirun could not start: its remote-start agent {name} is not there",
    ),
    (
        r"^Open RTE was unable to open the hostfile:\n +(?P<name>.+)$",
        "mpirun could not start: the hostfile {name} cannot be read",
    ),
    (
        r"^mpirun has detected an attempt to run as root",
        "mpirun could not start: it does not run as root",
    ),
    (
        r"^A request was made to bind to that would result in binding more\nprocesses than cpus",
        "mpirun could not start: it was asked to bind more processes than the node has cores",
    ),
    (
        r"^At least one pair of MPI processes are unable to reach each other",
        "the MPI processes cannot reach each other over any network that Open MPI may use",
    ),
    (
        r"lost communication with a remote daemon[\s\S]+?^ *Remote daemon: .* on node (?P<node>\S+)$",
        "mpirun has lost its daemon on node {node}",
    ),
    (
        r"^MPI_ABORT was invoked on rank (?P<rank>\d+) in communicator .+\n?\s*with errorcode (?P<code>-?\d+)",
        "rank {rank} called MPI_Abort with error code {code}",
    ),
    (
        r"^mpi\w+ noticed that process rank (?P<rank>\d+) with PID \d+ on node (?P<node>\S+) exited on signal (?P<signal>\d+)",
        "rank {rank} on node {node} was killed by signal {signal}",
    ),
    (
        r"^ *Process name: \[\[.*,\d+\],(?P<rank>\d+)\]\s+Exit code: +(?P<code>\d+)",
        "rank {rank} ended with exit code {code}",
    ),
    (
        r"^Primary job +terminated normally, but (?P<rank>)\d+ process",
        "a rank ended with an exit code that is not 0",
    ),
    (
        r"^\S*sh: (?:line )?(?:\d+: )?(?P<name>\S+): (?:command )?not found$|^(?P<other>\S+): Command not found\.$",
        "mpirun could not start its part on another node: {name}{other} is not in the run's PATH there",
    ),
    (
        r"unable to reliably start one or more daemons",
        "mpirun could not start its daemon on every node",
    ),
    (r"^(?P<count>\d+) total processes failed to start$", "mpirun could not start {count} processes"),
]
_PATTERNS = [(re.compile(pattern, re.MULTILINE), sentence) for pattern, sentence in _TABLE]


def read(text: bytes) -> Words | None:
    """What the log `text` says; None where it says nothing of the kind."""
    # One character a byte, so that places are byte offsets.
    plain = text.decode("latin-1")
    for pattern, sentence in _PATTERNS:
        found = pattern.search(plain)
        if found:
            parts = {name: _utf8(part or "") for name, part in found.groupdict().items()}
            rank = int(parts["rank"]) if parts.get("rank") else None
            return Words(sentence.format_map(parts), "rank" in parts, rank, *_block(plain, found.start(), found.end()))
    return None


def _block(text: str, start: int, end: int) -> tuple[int, int]:
    """The message around [start, end): up to the lines of dashes that frame it, or its own lines."""
    start = text.rfind("\n", 0, start) + 1
    close = text.find("\n-----", end)
    if close < 0 or (text.rfind("\n-----", 0, start) < 0 and not text.startswith("-----")):
        close = text.find("\n", end)
    return start, len(text) if close < 0 else close + 1


def _utf8(part: str) -> str:
    return part.encode("latin-1").decode("utf-8", "replace").strip()
