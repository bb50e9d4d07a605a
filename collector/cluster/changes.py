"""What a transaction of the queue or of the registry has changed for others, who are told once it is committed. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Changes:
    """`nodes`: those whose work is another now (their work_version has grown). `runs`: those whose state, or what their nodes
    are asked to do, is another now."""

    nodes: frozenset[str] = frozenset()
    runs: frozenset[str] = frozenset()

    def __or__(self, other: Changes) -> Changes:
        return Changes(self.nodes | other.nodes, self.runs | other.runs)

    def __bool__(self) -> bool:
        return bool(self.nodes or self.runs)


NOTHING = Changes()
