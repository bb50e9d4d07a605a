"""One stream's lines on their way into one run-level file: cut, timed, waiting for their turn.

A unit is some whole lines with one time; of a line that is long, torn by a gap or without an end it is a part. All here is
done for many units at a time: there may be a million of them a second.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import accumulate

from runyard import labels

# A line that has grown so long is written in parts.
LINE_BYTES = 256 << 10


class Lane:
    """Units in the order of the stream. `head` is the label up to its marks; without one, lines are written as they are.

    `written` is where in the stream the units start that are not in the file yet; what lies before it is passed over when the
    stream is read again.
    """

    __slots__ = ("_carry", "_ends", "_head", "_marks", "_pieces", "error_ns", "output", "written", "times")  # noqa: RUF023

    def __init__(self, output: str, head: bytes, written: int) -> None:
        self.output = output
        self.written = written
        self.error_ns = 0
        self.times: list[int] = []
        self._head = head
        self._pieces: list[bytes] = []  # without their last newline
        self._ends: list[int] = []  # in the stream
        self._marks: dict[int, bytes] = {}  # of parts and gaps, by their end
        self._carry = bytearray()

    def position(self, read_to: int) -> int:
        """From where on the stream has to be read again, where it has been read up to `read_to`."""
        return self.written if self.times or self._carry else max(self.written, read_to)

    def first_end(self, read_to: int) -> int:
        """Where the first unit that waits ends; `read_to` where none does."""
        return self._ends[0] if self._ends else read_to

    @property
    def has_begun(self) -> bool:
        """A line has begun and not ended."""
        return bool(self._carry)

    def add(self, piece: bytes, time_ns: int, end: int) -> None:
        """The stream's next bytes; they end at `end`."""
        whole = piece.rfind(b"\n") + 1
        if whole:
            text = bytes(self._carry) + piece[: whole - 1] if self._carry else piece[: whole - 1]
            self._carry.clear()
            self._push(text, time_ns, end - len(piece) + whole)
        self._carry += piece[whole:]
        if len(self._carry) >= LINE_BYTES:
            self.end_line(time_ns, end)

    def add_units(self, pieces: list[bytes], times: list[int], ends: list[int]) -> None:
        """Units in one go; nothing may be carried."""
        if self.times:
            self.times += list(accumulate(times, max, initial=self.times[-1]))[1:]
        else:
            self.times = list(accumulate(times, max))
        self._pieces += pieces
        self._ends += ends

    def end_line(self, time_ns: int, end: int) -> None:
        """The line that has begun ends here without a newline."""
        if self._carry:
            self._marks[end] = labels.PART
            text = bytes(self._carry)
            self._carry.clear()
            self._push(text, time_ns, end)

    def add_gap(self, length: int, time_ns: int, end: int) -> None:
        """`length` bytes that the node has dropped."""
        self._marks[end] = labels.gap(length)
        self._push(b"", time_ns, end)

    def _push(self, text: bytes, time_ns: int, end: int) -> None:
        self.times.append(max(time_ns, self.times[-1]) if self.times else time_ns)
        self._pieces.append(text)
        self._ends.append(end)

    def take(self, until_ns: int, last_ns: int) -> tuple[list[int], list[bytes]]:
        """Takes out the units up to `until_ns`: their times, and their lines with labels, each without its last newline.
        Those that are older than `last_ns`, the youngest line in the file, are marked late."""
        count = bisect_right(self.times, until_ns)
        times, pieces, ends = self.times[:count], self._pieces[:count], self._ends[:count]
        del self.times[:count], self._pieces[:count], self._ends[:count]
        self.written = ends[-1]
        if not self._head:
            return times, pieces
        late = bisect_left(times, last_ns - self.error_ns)
        lines = self._labelled(pieces[:late], ends, labels.LATE) + self._labelled(pieces[late:], ends[late:], b"")
        return times, lines

    def _labelled(self, pieces: list[bytes], ends: list[int], mark: bytes) -> list[bytes]:
        label = self._head + mark + labels.END
        begin = b"\n" + label
        if not self._marks:
            return [label + piece.replace(b"\n", begin) for piece in pieces]
        lines = []
        for piece, end in zip(pieces, ends, strict=False):
            own = self._marks.pop(end, b"")
            lines.append((self._head + mark + own + labels.END if own else label) + piece.replace(b"\n", begin))
        return lines
