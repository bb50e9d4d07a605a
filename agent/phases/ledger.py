"""Where every context manager of a run stands, as lines that only grow: entering, entered, hung, leaving, left.

Reads from and appends to .runyard/phase/preparation/managers.jsonl. What survives a kill -9: all of it; from
it the next process leaves what was entered, each with the state that it had then.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runyard.agent.json_lines import append_line, read_lines

ENTERING, ENTERED, HUNG, LEAVING, LEFT = "entering", "entered", "hung", "leaving", "left"


@dataclass(frozen=True, slots=True)
class Standing:
    """A manager that is to be left."""

    at: int  # which one, in the order of entering
    state: dict[str, Any]
    tries: int  # how often leaving it has begun


class Ledger:
    """The ledger of one run."""

    def __init__(self, folder: Path) -> None:
        self._path = str(folder / "managers.jsonl")

    def note(self, at: int, event: str, **values: Any) -> None:
        """Raises OSError where the disk does not take it."""
        append_line(self._path, {"at": at, "event": event} | values)

    def note_if_possible(self, at: int, event: str, **values: Any) -> None:
        """What is to be undone is not kept waiting by a full disk: at worst the next process undoes it once more."""
        with suppress(OSError):
            self.note(at, event, **values)

    def standing(self) -> list[Standing]:
        """Each that is not left, in order."""
        found: dict[int, Standing] = {}
        for line in read_lines(self._path):
            at, event = line["at"], line["event"]
            before = found.get(at, Standing(at, {}, 0))
            if event == LEFT:
                found.pop(at, None)
            elif event == LEAVING:
                found[at] = Standing(at, before.state, before.tries + 1)
            else:
                found[at] = Standing(at, line.get("state", before.state), 0)
        return [found[at] for at in sorted(found)]

    def unfinished(self) -> tuple[int, str] | None:
        """Which manager was being entered or left when the process before ended, and how (entering, leaving)."""
        for line in read_lines(self._path)[-1:]:
            if line["event"] in (ENTERING, LEAVING):
                return line["at"], line["event"]
        return None

    def causes(self, event: str) -> list[str]:
        """What went wrong, by the kind of event, whatever process has noted it."""
        return [line["cause"] for line in read_lines(self._path) if line["event"] == event and line.get("cause")]
