"""Several files that grow at once as one text: each under a heading, its bytes complete and in their order.

Writes text through a function. Pure but for the clock, which is a parameter.

What comes is shown at once, also a line that is not whole yet. Another file waits until the one that is shown has been quiet
for a moment, but not for long; so a few busy files come in blocks, each under its heading, and no file's lines are cut. The
text of a file is what stands below its headings, joined; a line that had to be left in its middle got an end of line.
Nobody is quiet while we write: a slow reader (a notebook's cell) cuts no lines.
"""

from __future__ import annotations

import codecs
import time
from collections.abc import Callable

# A file that was shown keeps its place so long after its last bytes; where its last line is not whole, for longer.
QUIET_S = 0.2
OPEN_LINE_S = 1.0
# Nobody waits longer than this for a place, nor do more bytes; twice that where the line that is shown is not whole.
LONGEST_WAIT_S = 2.0
MOST_WAITING_BYTES = 4 << 20
# A line that is not whole is shown when no more of it has come for so long.
PART_S = 0.1


class _File:
    def __init__(self, name: str) -> None:
        self.name = name
        self.waiting = bytearray()
        self.since_s = 0.0  # when the first of the waiting bytes came, or when those before them had been written
        self.last_s = 0.0  # when the last bytes came, or had been written
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def add(self, data: bytes, now_s: float) -> None:
        if not self.waiting:
            self.since_s = now_s
        self.waiting += data
        self.last_s = now_s

    def lines(self) -> str:
        """The whole lines that wait; they do not wait any more."""
        return self._take(self.waiting.rfind(b"\n") + 1)

    def all(self, *, is_last: bool = False) -> str:
        """All that waits."""
        return self._take(len(self.waiting), is_last=is_last)

    def _take(self, count: int, *, is_last: bool = False) -> str:
        data = bytes(self.waiting[:count])
        del self.waiting[:count]
        return self._decoder.decode(data, is_last)


class Sections:
    """`data` for what has come, `tick` often (every 50 ms while `is_waiting`), `end` when all has come."""

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._write = write
        self._clock = clock
        self._files: dict[object, _File] = {}
        self._shown: _File | None = None
        self._is_line_open = False

    @property
    def is_begun(self) -> bool:
        """Whether anything was shown."""
        return self._shown is not None

    @property
    def is_waiting(self) -> bool:
        """Whether there is something that `tick` may show."""
        return any(file.waiting for file in self._files.values())

    def data(self, key: object, name: str, data: bytes) -> None:
        """The next bytes of the file that `key` stands for."""
        file = self._files.setdefault(key, _File(name))
        file.add(data, self._clock())
        if self._shown is None:
            self._show(file)
        elif file is self._shown:
            self._put(file, file.lines())
        self.tick()

    def note(self, key: object, name: str, text: str) -> None:
        """A line of ours among the file's, in brackets."""
        file = self._files.setdefault(key, _File(name))
        self._show(file)
        self._put(file, file.all())
        self._end_line()
        self._put(file, f"[{text}]\n")

    def tick(self) -> None:
        """Show what has waited long enough."""
        now_s = self._clock()
        shown = self._shown
        if shown is None:
            return
        others = [file for file in self._files.values() if file is not shown and self._may_be_shown(file, now_s)]
        if others and self._is_left(shown, others, now_s):
            self._show(min(others, key=lambda file: file.since_s))
        elif shown.waiting and now_s - shown.since_s >= PART_S:
            self._put(shown, shown.all())

    def end(self) -> None:
        """Show all that is left, the file that is shown first and then each in the order in which it came."""
        rest = sorted(self._files.values(), key=lambda file: (file is not self._shown, file.since_s))
        for file in rest:
            text = file.all(is_last=True)
            if text:
                self._head(file)
                self._put(file, text)
        self._end_line()

    def _is_left(self, shown: _File, others: list[_File], now_s: float) -> bool:
        still_s = OPEN_LINE_S if self._is_line_open else QUIET_S
        if not shown.waiting and now_s - shown.last_s >= still_s:
            return True
        patience = 2 if self._is_line_open else 1
        longest_s = now_s - min(file.since_s for file in others)
        waiting_bytes = sum(len(file.waiting) for file in others)
        return longest_s >= patience * LONGEST_WAIT_S or waiting_bytes > patience * MOST_WAITING_BYTES

    def _may_be_shown(self, file: _File, now_s: float) -> bool:
        return b"\n" in file.waiting or (bool(file.waiting) and now_s - file.since_s >= OPEN_LINE_S)

    def _head(self, file: _File) -> None:
        if file is not self._shown:
            self._end_line()
            gap = "" if self._shown is None else "\n"
            self._write(f"{gap}Streaming {file.name}\n{'=' * (len(file.name) + 10)}\n\n")
            self._shown = file

    def _show(self, file: _File) -> None:
        self._head(file)
        self._put(file, file.lines() if b"\n" in file.waiting else file.all())

    def _end_line(self) -> None:
        if self._is_line_open:
            self._write("\n")
            self._is_line_open = False

    def _put(self, file: _File, text: str) -> None:
        if text:
            self._write(text)
            self._is_line_open = not text.endswith("\n")
            file.since_s = file.last_s = self._clock()
