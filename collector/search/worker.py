"""The process that searches: one for each search, so that a regular expression that takes for ever ends with it, and nobody
else waits. Standard library only.

Reads the question as one line of JSON from stdin, and files; writes lines of JSON to stdout: first `{"kind": "ready"}` or
`{"kind": "refused", "why": "…"}`, then what it finds (`hit`), how far it is in each file (`file`), and `end`.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from runyard.collector.query import IndexReader, start_since
from runyard.timeindex import RECORD_BYTES, SOURCE_NAMES

from .patterns import Find, finder
from .scan import Hit, Progress, scan

MOST_MEMORY_BYTES = 1 << 30
NICENESS = 10
# How often it tells how far it is.
TELL_S = 0.3
# So many lines are looked at, at most, before the time is.
LOOK_LINES = 200


def tell(message: Mapping[str, Any]) -> None:
    """One line; half characters stand for bytes that are no UTF-8."""
    sys.stdout.write(json.dumps(message) + "\n")


class _File:
    """One file that is searched, with its time index where it has one."""

    def __init__(self, asked: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
        self.path: str = asked["path"]
        self.size: int = asked["size"]
        self.count = 0
        self.is_passed_over = False
        self._wanted = wanted
        self._descriptors: list[int] = []
        self._read = self._reader(asked["file"])
        self.index: IndexReader | None = None
        self._start, self._end = wanted["start"], self.size
        if asked["index"]:
            self._use_index(self._reader(asked["index"]), asked["index_size"])
        elif wanted["source"] or wanted["since_ns"] is not None or wanted["until_ns"] is not None:
            # It is not known when, and from which stream, its lines came.
            self._end = self._start
            self.is_passed_over = True

    def _use_index(self, read: Callable[[int, int], bytes], size: int) -> None:
        self.index = IndexReader(read, lambda: size - size % RECORD_BYTES)
        since_ns, until_ns = self._wanted["since_ns"], self._wanted["until_ns"]
        if since_ns is not None:
            self._start = max(self._start, start_since(read, size, since_ns))
        if until_ns is not None:
            self._end = min(self._end, start_since(read, size, until_ns))

    def _reader(self, path: str) -> Callable[[int, int], bytes]:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._descriptors.append(descriptor)
        return lambda offset, size: os.pread(descriptor, size, offset)

    def close(self) -> None:
        """Nothing is read from it any more."""
        while self._descriptors:
            os.close(self._descriptors.pop())

    def found(self, finds: list[Find]) -> Iterator[Hit | Progress]:
        """What is found in the bytes that are wanted."""
        return scan(self._read, self._start, self._end, finds)

    def stamp(self, hit: Hit) -> tuple[int, str]:
        """When its line came, and from which stream; 0 and "" where that is not known."""
        if self.index is None:
            return 0, ""
        _, wall_ns, source = self.index.records(hit.at, hit.at + 1)[0]
        return wall_ns, SOURCE_NAMES.get(source, "")

    def tell(self, position: int, *, is_done: bool) -> None:
        """How far it is."""
        done = {"searched": position, "size": self.size, "is_done": is_done, "is_passed_over": self.is_passed_over}
        tell({"kind": "file", "path": self.path, "count": self.count, **done})


class _Search:
    """All files, one after the other, until the time is over."""

    def __init__(self, question: Mapping[str, Any], finds: list[Find]) -> None:
        self._question = question
        self._finds = finds
        self._end_s = time.monotonic() + question["limit_s"]
        self._told_s = 0.0

    def run(self) -> str:
        """Why it ends: "done" or "time"."""
        for asked in self._question["files"]:
            try:
                file = _File(asked, self._question)
            except FileNotFoundError:
                continue  # it was removed meanwhile
            is_whole = self._whole(file)
            file.close()
            if not is_whole:
                return "time"
        return "done"

    def _whole(self, file: _File) -> bool:
        position = 0
        for number, found in enumerate(file.found(self._finds)):
            if isinstance(found, Progress):
                position = found.position
            else:
                self._take(file, found)
            if isinstance(found, Progress) or number % LOOK_LINES == 0:
                now_s = time.monotonic()
                if now_s > self._end_s:
                    file.tell(position, is_done=False)
                    return False
                if now_s - self._told_s > TELL_S:
                    self._told_s = now_s
                    file.tell(position, is_done=False)
                    sys.stdout.flush()
        file.tell(file.size, is_done=True)
        return True

    def _take(self, file: _File, hit: Hit) -> None:
        source, most = self._question["source"], self._question["most_per_file"]
        if file.count >= most and not source:
            file.count += 1
            return
        at_ns, stream = file.stamp(hit)
        if source and stream != source:
            return
        file.count += 1
        if file.count > most:
            return
        text, match = (data.decode("utf-8", "surrogateescape") for data in (hit.text, hit.match))
        place = {"path": file.path, "line": hit.line or None, "start": hit.start, "at": hit.at}
        known = {"match": match, "text": text, "text_start": hit.text_start, "at_ns": at_ns, "source": stream}
        tell({"kind": "hit", **place, **known})


def main() -> None:
    """Answers one question."""
    os.nice(NICENESS)
    question = json.loads(sys.stdin.readline())
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY_BYTES, MOST_MEMORY_BYTES))
    # Whoever was to end it may have died.
    cpu_s = int(question["limit_s"]) + 5
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    try:
        finds = [finder(condition) for condition in question["conditions"]]
    except (ValueError, MemoryError) as error:
        tell({"kind": "refused", "why": str(error) or "it is too large"})
        return
    tell({"kind": "ready"})
    sys.stdout.flush()
    tell({"kind": "end", "why": _Search(question, finds).run()})


if __name__ == "__main__":
    main()
