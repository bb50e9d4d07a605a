"""A list of files with their SHA-256, as sha256sum(1) writes and reads it. Pure."""

from __future__ import annotations

import re

from runyard.errors import PhaseError

MOST_BYTES = 256 << 20
_LINE = re.compile(r"(?P<escaped>\\?)(?P<sha256>[0-9a-fA-F]{64})(?: [ *])(?P<name>.+)\Z")
_TAGGED = re.compile(r"(?P<escaped>\\?)SHA256 \((?P<name>.+)\) = (?P<sha256>[0-9a-fA-F]{64})\Z")
_ESCAPES = {r"\\": "\\", r"\n": "\n", r"\r": "\r"}


def parse(data: bytes, where: str) -> dict[str, str]:
    """The files' SHA-256 by name; raises PhaseError for a line that is not one, or a file that is there with two of them."""
    found: dict[str, str] = {}
    for number, line in enumerate(data.decode("utf-8", "surrogateescape").split("\n"), 1):
        line = line.removesuffix("\r")
        if not line:
            continue
        match = _LINE.match(line) or _TAGGED.match(line)
        if match is None:
            raise PhaseError(f"line {number} of the checksums {where} is not one that sha256sum writes: a SHA-256 and a name")
        name, sha256 = match["name"], match["sha256"].lower()
        if match["escaped"]:
            name = re.sub(r"\\[\\nr]", lambda escape: _ESCAPES[escape[0]], name)
        name = name.removeprefix("./")
        if found.setdefault(name, sha256) != sha256:
            raise PhaseError(f"line {number} of the checksums {where} gives {name!r} a second SHA-256")
    return found
