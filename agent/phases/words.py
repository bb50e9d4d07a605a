"""What a tool (podman, pip) has said, read back from the log that it wrote to: the line that tells why it failed, and its kind.

Reads the log through descriptor 1; writes nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

# Of what was said, the end; the line that tells is among the last ones.
LOOK_BYTES = 64 << 10
# The longest line that becomes part of a run's cause.
MOST_CHARACTERS = 400

ABSENT = "absent"  # the registry says that there is no such image
DENIED = "denied"  # the registry wants a login, or another one
UNREACHABLE = "unreachable"  # no answer, or a server's own trouble: another try may help
REFUSED = "refused"  # anything else that another try does not change

# In this order: an answer says more than the trouble on the way to it.
_KINDS = (
    (
        ABSENT,
        r"manifest unknown|name unknown|no such manifest|not found|does not exist|did not resolve to an alias|no such image",
    ),
    (DENIED, r"unauthorized|authentication required|access denied|\bdenied\b|forbidden|invalid username/password"),
    (REFUSED, r"no space left|x509|certificate|server gave HTTP response|invalid reference|must be lowercase|quota exceeded"),
)
_ERROR = re.compile(r"\s*(?:error|fatal)\b[: ]", re.IGNORECASE)
_LABEL = re.compile(r"\s*(?:error(?: response from daemon)?|fatal|cause):\s*", re.IGNORECASE)
# Lines of pip that stand last and tell nothing.
_EMPTY_WORDS = ("ERROR: ResolutionImpossible",)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a registry gave or took nothing: one of the kinds above, and the tool's own line."""

    kind: str
    line: str

    @property
    def reason(self) -> str:
        """The end of the tool's line, where podman puts what it comes to."""
        return self.line.rpartition(": ")[2]


def since(start: int) -> str:
    """What was written to the log from its size `start` on; the end of it where it is long."""
    with Path("/proc/self/fd/1").open("rb") as log:
        end = log.seek(0, 2)
        log.seek(max(start, end - LOOK_BYTES))
        return log.read(LOOK_BYTES).decode(errors="replace")


def refusal(text: str) -> Refusal:
    """What the words of a failed pull, push or look come to."""
    line = telling(text)
    for kind, pattern in _KINDS:
        if re.search(pattern, line, re.IGNORECASE):
            return Refusal(kind, line)
    return Refusal(UNREACHABLE, line)


def telling(text: str) -> str:
    """The line that says why the tool failed, without the word error; empty where it said nothing."""
    lines = [line for line in text.splitlines() if line.strip()]
    errors = [i for i, line in enumerate(lines) if _ERROR.match(line) and not line.startswith(_EMPTY_WORDS)]
    if not lines:
        return ""
    at = errors[-1] if errors else len(lines) - 1
    parts = [lines[at], *lines[at + 1 : at + 2]] if lines[at + 1 : at + 2] and _is_cause(lines[at + 1]) else [lines[at]]
    line = ": ".join(_LABEL.sub("", part, count=1).strip() for part in parts)
    return line if len(line) <= MOST_CHARACTERS else line[: MOST_CHARACTERS - 1] + "…"


def _is_cause(line: str) -> bool:
    return line.lstrip().startswith("cause:")  # uv says what was wrong in the line after the one that says that it was
