"""Several files as one text: whatever comes in whatever pieces, each file's text is whole and in order; nobody waits long."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.sdk.sections import LONGEST_WAIT_S, OPEN_LINE_S, PART_S, QUIET_S, Sections
from tests.sdk.shown import is_shown, sections


class Screen:
    """Sections on a clock that the test moves."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.slowness_s = 0.0
        self.text = ""
        self.sections = Sections(self._write, lambda: self.now_s)

    def _write(self, text: str) -> None:
        self.text += text
        self.now_s += self.slowness_s

    def data(self, name: str, data: bytes) -> None:
        self.sections.data(name, name, data)

    def wait(self, span_s: float) -> None:
        """Time goes on as while nothing comes."""
        end_s = self.now_s + span_s
        while self.now_s < end_s:
            self.now_s = min(end_s, self.now_s + 0.05)
            self.sections.tick()

    def shown(self) -> list[tuple[str, str]]:
        return sections(self.text)


PIECES = st.text(st.sampled_from("ab\n\r é€😀"), max_size=8).map(str.encode) | st.binary(max_size=4)
STEPS = st.lists(st.tuples(st.sampled_from("ABC"), PIECES, st.sampled_from([0.0, 0.05, 0.3, 1.5])), max_size=40)


@given(STEPS)
def test_each_files_text_is_whole_and_in_order(steps: list[tuple[str, bytes, float]]) -> None:
    screen = Screen()
    contents: dict[str, bytes] = {}
    for name, data, span_s in steps:
        screen.data(name, data)
        contents[name] = contents.get(name, b"") + data
        screen.wait(span_s)
    screen.sections.end()
    for name, content in contents.items():
        assert is_shown(screen.shown(), name, content.decode("utf-8", "replace")), (content, screen.text)


def test_what_comes_is_shown_at_once_and_a_part_of_a_line_a_moment_later() -> None:
    screen = Screen()
    screen.data("A", b"one\ntw")
    assert screen.text.endswith("one\n")
    screen.wait(PART_S * 2)
    assert screen.text.endswith("one\ntw")
    screen.data("A", b"o\n")
    assert screen.text.endswith("one\ntwo\n")


def test_a_progress_bar_that_never_pauses_is_shown_while_it_goes_on() -> None:
    screen = Screen()
    for step in range(20):
        screen.data("A", b"\r%d%%" % step)
        screen.wait(PART_S / 2)
    assert "\r17%" in screen.text


def test_busy_files_come_in_blocks_of_whole_lines() -> None:
    screen = Screen()
    for step in range(200):
        for name in "AB":
            screen.data(name, b"%d of " % step)
            screen.data(name, b"%s\n" % name.encode())
        screen.wait(0.05)
    screen.sections.end()
    shown = screen.shown()
    assert 4 <= len(shown) <= 200 * 0.05 / LONGEST_WAIT_S + 4
    assert all(body.endswith("\n") and "of" in body.splitlines()[-1] for _, body in shown)
    for name in "AB":
        assert is_shown(shown, name, "".join(f"{step} of {name}\n" for step in range(200)))


@pytest.mark.parametrize(("first", "span_s"), [(b"done\n", QUIET_S), (b"no end", OPEN_LINE_S)])
def test_another_file_has_its_turn_when_the_first_is_quiet(first: bytes, span_s: float) -> None:
    screen = Screen()
    screen.data("A", first)
    screen.wait(0.15)
    screen.data("B", b"begins\n")
    assert "begins" not in screen.text
    screen.wait(span_s + 0.1)
    assert screen.shown() == [("A", "done\n" if first == b"done\n" else "no end\n"), ("B", "begins\n")]


def test_nothing_waits_without_end_beside_a_file_that_is_never_quiet() -> None:
    screen = Screen()
    screen.data("B", b"")
    screen.data("A", b"x\n")
    begun_s = screen.now_s
    screen.data("B", b"waits")
    while "waits" not in screen.text:
        screen.data("A", b"x\n")
        screen.wait(0.05)
        assert screen.now_s - begun_s < LONGEST_WAIT_S + 1


def test_a_slow_reader_cuts_no_line() -> None:
    screen = Screen()
    line = b"a line of the first\n"
    screen.data("A", line)
    screen.slowness_s = 0.4  # for each piece; what comes meanwhile is there when it is written
    for number in range(40):
        screen.data("A", (line * 3)[number : number + 40])  # ends nearly always in the middle of a line
        if number % 5 == 0:
            screen.data("B", b"a line of the second\n")
    screen.sections.end()
    shown = screen.shown()
    assert len({name for name, _ in shown}) == 2
    assert len(shown) > 4
    pieces = [piece for _, body in shown for piece in body.splitlines()]
    expected = b"".join([line, *((line * 3)[number : number + 40] for number in range(40))]).decode().splitlines()
    assert [piece for piece in pieces if "second" not in piece] == expected
