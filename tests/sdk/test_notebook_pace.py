"""Output in a notebook's cell goes at a pace that the notebook's server passes on, and stays whole."""

from __future__ import annotations

import io

from runyard.sdk.notebook_pace import BURST_S, BYTES_PER_S, MESSAGE_BYTES, PIECE_CHARACTERS, Pace, is_notebook, paced


class Clock:
    """Time that passes only by waiting."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, span_s: float) -> None:
        self.now_s += span_s


def test_a_flood_is_written_whole_and_not_faster_than_the_pace() -> None:
    clock, written = Clock(), list[str]()
    write = paced(written.append, Pace(clock=clock, sleep=clock.sleep))
    flood = "a line of a log\n" * 200_000
    write(flood)
    assert "".join(written) == flood
    least_s = len(flood) / BYTES_PER_S - BURST_S - 1
    assert clock.now_s - 100.0 > least_s


def test_little_is_written_at_once() -> None:
    clock = Clock()
    write = paced(lambda _: None, Pace(clock=clock, sleep=clock.sleep))
    for _ in range(100):
        write("a line\n")
    assert clock.now_s == 100.0


def test_many_small_messages_wait_too() -> None:
    clock = Clock()
    write = paced(lambda _: None, Pace(clock=clock, sleep=clock.sleep))
    count = 5000
    for _ in range(count):
        write("\x1b")
    assert clock.now_s - 100.0 > count * MESSAGE_BYTES / BYTES_PER_S - BURST_S - 1


def test_a_terminal_is_no_notebook() -> None:
    assert not is_notebook(io.StringIO())
    assert PIECE_CHARACTERS < BYTES_PER_S
