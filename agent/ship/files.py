"""The files of one run: which there are, which have grown, which were truncated, replaced or removed.

Reads the files' metadata; writes nothing. Knows nothing of the network but the offsets that it is told.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from .plan import Range, generation_for
from .scan import is_plain_folder, is_unfinished, walk, why_not_shipped
from .tail import Descriptors, Tail, source_of
from .turns import Turns

# By then the kernel's event of a new file has come, if it comes at all.
EVENT_S = 1.0


class Files:
    """Belongs to one thread, but `unsent_bytes` and `durable_bytes` may be called from any."""

    def __init__(self, run_dir: str, say: Callable[[str], None]) -> None:
        self._run_dir = run_dir
        self._say = say
        self._device = Path(run_dir).stat().st_dev
        self.descriptors = Descriptors(run_dir, self._device)
        self.by_name: dict[str, Tail] = {}
        self.by_id: dict[int, Tail] = {}
        self.with_work: set[Tail] = set()
        self._turns = Turns()
        self._scan = 0
        self._folders_there: set[str] = set()
        self._passed_over: set[str] = set()
        self._told: set[str] = set()
        # Truncated or replaced, and the ledger was not reset yet: what it says of them is about bytes that are no more.
        self.rewritten: set[str] = set()

    @property
    def is_hot(self) -> bool:
        """Whether a file has grown a short while ago."""
        return self._turns.is_hot

    def unsent_bytes(self) -> int:
        """What there is and is not durable at the collector."""
        return sum(max(0, tail.size - tail.durable) for tail in list(self.by_name.values()) if not tail.is_gone)

    def durable_bytes(self) -> int:
        """What the collector has acknowledged of the files as they are now."""
        return sum(tail.durable for tail in list(self.by_name.values()))

    def scan(self, roots: Sequence[str], now_s: float) -> int:
        """Take in all files below `roots`; returns how many were new although they are older than EVENT_S."""
        self._scan += 1
        new = 0
        for name, inode in walk(self._run_dir, roots):
            tail = self.by_name.get(name)
            if tail is None or tail.is_gone or not tail.source.endswith(f":{inode}"):
                new += self.look_at_name(name, now_s, is_folder_checked=True)
                tail = self.by_name.get(name)
            if tail is not None:
                tail.seen = self._scan
        for tail in list(self.by_name.values()):
            if tail.seen != self._scan and not tail.is_gone and not tail.is_leaving:
                self.look_at_name(tail.name, now_s)
        return new

    def look_at_name(self, name: str, now_s: float, *, is_folder_checked: bool = False) -> bool:
        """Find out what the name stands for now; True where it is a file that should have been known already."""
        if is_unfinished(name):
            return False
        tail = self.by_name.get(name)
        is_reachable = is_folder_checked or is_plain_folder(self._run_dir, name.rpartition("/")[0])
        status = self._status(name) if is_reachable else None
        if status is None:
            if tail is not None and not tail.is_gone:
                self._leave(tail)
            return False
        source = source_of(status, self._device)
        if tail is None:
            is_admitted = self._admit(name, source, status.st_size, now_s)
            return is_admitted and status.st_ctime < time.time() - EVENT_S
        if tail.source != source and not tail.is_gone:
            self._leave(tail)
        if tail.is_gone:
            self._return(tail, source, status.st_size, now_s)
        return False

    def look(self, now_s: float) -> None:
        """Look at every file that grew lately and at some of the others."""
        for tail in self._turns.due(self.by_name.values(), now_s):
            self.look_at(tail, now_s)

    def look_at_all(self, now_s: float) -> None:
        """Look at every file: after this, sizes are those of now."""
        for tail in list(self.by_name.values()):
            self.look_at(tail, now_s)

    def fell_short(self, tail: Tail, now_s: float) -> None:
        """A read ended before the length of the last look: the file was truncated, whatever its length is by now."""
        expected, stream_id = tail.size, tail.stream_id
        self.look_at(tail, now_s)
        if tail.size >= expected and tail.stream_id == stream_id and not tail.is_gone:
            self.rewritten.add(tail.name)
            self.restart(tail)

    def adopt(self, streams: Iterable[dict[str, object]], now_s: float) -> None:
        """Take over what the collector says it has: after a connect its word is the only truth."""
        said = {str(stream["name"]): stream for stream in streams}
        for name, tail in self.by_name.items():
            stream = said.get(name)
            self._forget_id(tail)
            if stream is not None and int(str(stream["generation"])) >= tail.generation:
                self.adopt_one(tail, stream)
            else:
                # Unknown there, or a next generation was due here already: it still has to be opened.
                tail.sent = tail.durable = 0
                tail.is_sealed = False
            self.note(tail)
        for name, stream in said.items():
            if name not in self.by_name:
                self._remember_gone(name, stream, now_s)

    def adopt_one(self, tail: Tail, stream: dict[str, object]) -> bool:
        """Take over the collector's word on one file; False where the file needs the next generation."""
        number, offset = int(str(stream["generation"])), int(str(stream["offset"]))
        known = (number, str(stream["source_id"]), offset, bool(stream["sealed"]))
        # A file that has left keeps its generation: nothing more of it can come.
        generation = number if tail.is_gone else generation_for(known, tail.source, tail.size)
        if generation != number:
            tail.generation = generation - 1
            tail.next_generation()
            return False
        tail.generation = generation
        tail.stream_id = int(str(stream["id"]))
        tail.sent, tail.durable = offset, int(str(stream["durable"]))
        tail.is_sealed = tail.is_sealed and bool(stream["sealed"])
        if tail.is_gone:
            tail.size = offset
        self.by_id[tail.stream_id] = tail
        self._folders_there.update(_folders_of(tail.name))
        return True

    def why_no_room(self, name: str) -> str:
        """What at the collector stands where this file would lie, as the end of a sentence; empty where nothing does."""
        if name in self._folders_there:
            return "stands where the collector has a folder of this run"
        above = (self.by_name.get(folder) for folder in _folders_of(name))
        if any(tail is not None and tail.stream_id >= 0 for tail in above):
            return "lies in a folder that has the name of a file sent before"
        return ""

    def restart(self, tail: Tail) -> None:
        """The next generation of a file begins: what was sent is not what there is."""
        self._forget_id(tail)
        tail.next_generation()
        self.note(tail)

    def take_losses(self, resets: Iterable[str], gaps: Mapping[str, Iterable[Range]]) -> None:
        """Take over what the ledger has newly read; after a reset it speaks of the file as it is now."""
        for name in resets:
            tail = self.by_name.get(name)
            if tail is not None:
                self.look_at(tail, time.monotonic())  # before the mark goes: a truncation not seen yet would set it again
            self.rewritten.discard(name)
        for name, ranges in gaps.items():
            self.add_gaps(name, ranges)

    def add_gaps(self, name: str, ranges: Iterable[Range]) -> None:
        """Bytes of a file were dropped on this disk: that is to be told before any byte behind them."""
        tail = self.by_name.get(name)
        if tail is not None and not tail.is_gone and name not in self.rewritten:
            tail.untold = sorted([*tail.untold, *((start, min(end, tail.size)) for start, end in ranges if start < tail.size)])
            self.note(tail)

    def note(self, tail: Tail) -> None:
        """Keep `with_work` true after anything about the file has changed."""
        if tail.has_work and not (tail.is_gone and tail.stream_id < 0):
            self.with_work.add(tail)
        else:
            self.with_work.discard(tail)

    def pass_over(self, tail: Tail, why: str) -> None:
        """The file cannot be shipped; said once."""
        self._forget_id(tail)
        self.descriptors.close(tail)
        self.by_name.pop(tail.name, None)
        self.with_work.discard(tail)
        self._turns.sort_again()
        self._pass_over(tail.name, why)

    def passed_over(self) -> list[str]:
        """Names that are not shipped, for people."""
        return sorted(self._passed_over)

    def forgive(self) -> None:
        """Try those again that were passed over; what is said about them is not said twice."""
        self._passed_over.clear()

    def _pass_over(self, name: str, why: str) -> None:
        self._passed_over.add(name)
        if name not in self._told:
            self._told.add(name)
            self._say(f"the file {name!r} is not sent: it {why}")

    def _status(self, name: str) -> os.stat_result | None:
        try:
            status = os.lstat(f"{self._run_dir}/{name}")
        except OSError:  # gone, or out of reach: both mean that there is nothing to ship
            return None
        return status if stat.S_ISREG(status.st_mode) else None

    def _admit(self, name: str, source: str, size: int, now_s: float) -> bool:
        if name in self._passed_over:
            return False
        why = why_not_shipped(name)
        if why:
            self._pass_over(name, why)
            return False
        tail = self.by_name[name] = Tail(name, source, now_s)
        tail.size = size
        self._turns.add(tail)
        self.note(tail)
        return True

    def _leave(self, tail: Tail) -> None:
        """The name has no file any more, or another one. What an open descriptor still shows of this one is sent first."""
        if tail.fd >= 0:
            tail.size = os.fstat(tail.fd).st_size
            if tail.size > tail.sent:
                tail.is_leaving = True
                self.note(tail)
                return
        self.descriptors.close(tail)
        tail.is_leaving = False
        tail.is_gone = True
        tail.size = tail.sent
        self.note(tail)

    def _return(self, tail: Tail, source: str, size: int, now_s: float) -> None:
        known = (tail.generation, tail.source, tail.sent, tail.is_sealed) if tail.stream_id >= 0 else None
        tail.is_gone = False
        tail.source, tail.size, tail.grown_s = source, size, now_s
        if known is not None and generation_for(known, source, size) != tail.generation:
            self.rewritten.add(tail.name)
            self.restart(tail)
        self.note(tail)
        self._turns.sort_again()

    def _remember_gone(self, name: str, stream: dict[str, object], now_s: float) -> None:
        # Before this process: the file is gone. If one of that name comes back it has to be the next generation.
        tail = self.by_name[name] = Tail(name, str(stream["source_id"]), now_s)
        tail.is_gone = True
        self.adopt_one(tail, stream)

    def look_at(self, tail: Tail, now_s: float) -> None:
        """Look at one file: its length, and whether it is still the one of that name."""
        if tail.is_gone:
            return
        if tail.fd >= 0:
            status = os.fstat(tail.fd)
            if (not status.st_nlink or tail.is_leaving) and status.st_size <= tail.sent:
                self._leave(tail)
                self.look_at_name(tail.name, now_s)
                return
        else:
            found = self._status(tail.name)
            if found is None or source_of(found, self._device) != tail.source:
                self.look_at_name(tail.name, now_s)
                return
            status = found
        size = status.st_size
        if size != tail.size:
            tail.size, tail.grown_s = size, now_s
        if size < tail.sent:
            self.rewritten.add(tail.name)
            self.restart(tail)
        elif size > tail.sent:
            self.with_work.add(tail)

    def _forget_id(self, tail: Tail) -> None:
        self.by_id.pop(tail.stream_id, None)
        tail.stream_id = -1


def _folders_of(name: str) -> Iterator[str]:
    """a/b/c: a/b and a."""
    while name := name.rpartition("/")[0]:
        yield name
