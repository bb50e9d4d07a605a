"""The stacks of a rank's processes as text: written on the node, read and grouped by `runyard stacks`. Pure.

A file of one rank at one moment; people read it as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .names import SYSTEM_LOGS_DIR

STACKS_DIR = f"{SYSTEM_LOGS_DIR}/stacks"

_HEAD = re.compile(r"Stacks of rank (\d+) on node (\S+), taken (\S+)")
_NAME = re.compile(rf"(?:attempts/(\d+)/)?{re.escape(STACKS_DIR)}/([^/]+)/([0-9TZ.-]+)-rank(\d+)\.txt")
_NUMBERS = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Thread:
    """One thread: the frame that it is in comes first."""

    name: str
    frames: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stacked:
    """One process. Without threads `told_by` says why there are none."""

    pid: int
    title: str
    told_by: str
    threads: tuple[Thread, ...] = ()


@dataclass(frozen=True, slots=True)
class RankStacks:
    """All processes of a rank, its driver first; of each the main thread first. `request`: the newest that this answers."""

    rank: int
    node_id: str
    taken: str
    reason: str = ""
    request: int = 0
    processes: tuple[Stacked, ...] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """The ranks in which a thread of this kind has this stack."""

    place: str
    frames: tuple[str, ...]
    ranks: tuple[int, ...]


def file_name(node_id: str, taken: str, rank: int) -> str:
    """The file of one rank's stacks, relative to the run's folder."""
    return f"{STACKS_DIR}/{node_id}/{taken.replace(':', '')}-rank{rank}.txt"


def split_name(name: str) -> tuple[int, str, int] | None:
    """(attempt, when, rank) of a file of stacks; None for another file. `when` sorts by time."""
    match = _NAME.fullmatch(name)
    return (int(match[1] or 0), match[3], int(match[4])) if match else None


def text_of(stacks: RankStacks) -> str:
    """The file's text."""
    lines = [f"Stacks of rank {stacks.rank} on node {stacks.node_id}, taken {stacks.taken}"]
    lines += [f"reason: {_line(stacks.reason)}", f"request: {stacks.request}"]
    for process in stacks.processes:
        lines += ["", f"process {process.pid} ({_line(process.told_by)}): {_line(process.title)}"]
        for thread in process.threads:
            lines += [f"  thread {_line(thread.name)}", *(f"    {_line(frame)}" for frame in thread.frames)]
    return "\n".join(lines) + "\n"


def _line(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)


def parse(text: str) -> RankStacks | None:
    """The inverse of `text_of`; None where `text` does not begin as such a file does."""
    lines = text.splitlines()
    head = _HEAD.fullmatch(lines[0]) if lines else None
    if head is None:
        return None
    told = dict(line.split(": ", 1) for line in lines[1:3] if ": " in line)
    request = told.get("request", "0")
    return RankStacks(
        rank=int(head[1]),
        node_id=head[2],
        taken=head[3],
        reason=told.get("reason", ""),
        request=int(request) if request.isascii() and request.isdigit() else 0,
        processes=tuple(_processes(lines[3:])),
    )


def _processes(lines: Sequence[str]) -> Iterable[Stacked]:
    blocks: list[list[str]] = []
    for line in lines:
        if line.startswith("process "):
            blocks.append([line])
        elif line and blocks:
            blocks[-1].append(line)
    for head, *rest in blocks:
        match = re.fullmatch(r"process (\d+) \((.*?)\): (.*)", head)
        if match:
            yield Stacked(int(match[1]), match[3], match[2], tuple(_threads(rest)))


def _threads(lines: Sequence[str]) -> Iterable[Thread]:
    name, frames = "", list[str]()
    for line in [*lines, "  thread "]:
        if line.startswith("    "):
            frames.append(line[4:])
            continue
        if frames or name:
            yield Thread(name, tuple(frames))
        name, frames = line.removeprefix("  thread "), []


def groups(found: Iterable[RankStacks]) -> list[Group]:
    """The stacks of all ranks, equal ones together: main threads of the drivers first, each kind by its lowest rank."""
    ranks_of: dict[tuple[int, str, tuple[str, ...]], set[int]] = {}
    for one in found:
        for order, place, frames in _placed(one):
            ranks_of.setdefault((order, place, frames), set()).add(one.rank)
    ordered = sorted(ranks_of.items(), key=lambda item: (item[0][0], min(item[1]), item[0][1]))
    return [Group(place, frames, tuple(sorted(ranks))) for (_, place, frames), ranks in ordered]


def _placed(one: RankStacks) -> Iterable[tuple[int, str, tuple[str, ...]]]:
    for number, process in enumerate(one.processes):
        owner = "" if number == 0 else f" of its process {process.title}"
        if not process.threads and number == 0:
            yield 0, f"no stacks: {process.told_by}", ()
        for thread in process.threads:
            is_main = thread is process.threads[0]
            # Thread-3 here is Thread-4 there.
            what = "main thread" if is_main else f"thread {_NUMBERS.sub('#', thread.name)}"
            yield (0 if is_main and number == 0 else 1 if is_main else 2), what + owner, thread.frames


def ranges(numbers: Iterable[int]) -> str:
    """0-2, 4 for 0, 1, 2, 4."""
    spans: list[list[int]] = []
    for number in sorted(set(numbers)):
        if spans and spans[-1][1] == number - 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)
