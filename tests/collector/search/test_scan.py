"""Lines are found as one would find them by looking at each, however the file is cut into blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from runyard.collector.search import lines, scan
from runyard.collector.search.patterns import finder

LINES = st.lists(
    st.one_of(st.binary(max_size=12), st.sampled_from([b"oom", b"an OOM here", b"\r", b"x" * 300, b"oom" * 90])), max_size=30
)


def found_in(data: bytes, *conditions: dict[str, Any], block_bytes: int = scan.BLOCK_BYTES) -> Iterator[scan.Hit]:
    finds = [finder(one) for one in conditions]
    found = scan.scan(lambda at, size: data[at : at + size], 0, len(data), finds, block_bytes=block_bytes)
    return (one for one in found if isinstance(one, scan.Hit))


@given(st.binary(min_size=1, max_size=3).filter(lambda word: b"\n" not in word), LINES, st.booleans())
def test_words_are_found_in_the_lines_that_have_them(word: bytes, some: list[bytes], is_case: bool) -> None:
    data = b"\n".join(some)
    pattern = word.decode("utf-8", "surrogateescape")
    expected, start = [], 0
    for number, line in enumerate(data.split(b"\n"), 1):
        if (word in line) if is_case or not pattern.isascii() else (word.lower() in line.lower()):
            expected.append((number, start))
        start += len(line) + 1
    hits = list(found_in(data, {"pattern": pattern, "is_case": is_case or not pattern.isascii()}))
    assert [(hit.line, hit.start) for hit in hits] == expected
    for hit in hits:
        assert data[hit.at : hit.at + len(hit.match)] == hit.match


def test_the_size_of_blocks_changes_nothing() -> None:
    data = b"".join(b"%d %s\n" % (n, b"y" * (n * 37 % 200)) + (b"needle\n" if n % 7 == 0 else b"") for n in range(400))
    hits = list(found_in(data, {"pattern": "needle"}, block_bytes=1024))
    wanted = [(data.count(b"\n", 0, m.start()) + 1, m.start()) for m in re.finditer(b"needle", data)]
    assert [(hit.line, hit.start) for hit in hits] == wanted


def test_a_line_that_is_longer_than_a_block_is_found_once() -> None:
    data = b"first\n" + b"z" * 1000 + b"needle" + b"z" * 9000 + b"needle" + b"\nlast needle\n"
    hits = list(found_in(data, {"pattern": "needle"}, block_bytes=1024))
    assert [(hit.line, hit.start) for hit in hits] == [(2, 6), (3, data.index(b"last"))]
    assert b"needle" in hits[0].text


def test_a_regular_expression_finds_within_lines_only() -> None:
    data = b"a1\nb2\n\na b\n"
    assert [hit.line for hit in found_in(data, {"pattern": r"a[^x]*b", "is_regex": True})] == [4]
    assert [hit.line for hit in found_in(data, {"pattern": r"^b\d$", "is_regex": True})] == [2]
    assert [hit.line for hit in found_in(data, {"pattern": "A", "is_regex": True, "is_case": True})] == []


def test_all_conditions_have_to_be_met() -> None:
    data = b"[n rank 1] oom\n[n rank 2] oom\n[n rank 2] fine\n"
    rank = {"pattern": r"^\[\S+ rank 2\]", "is_regex": True}
    assert [hit.line for hit in found_in(data, {"pattern": "oom"}, rank)] == [2]
    assert [hit.line for hit in found_in(data)] == [1, 2, 3]


def test_words_of_other_alphabets_are_found_in_either_case() -> None:
    data = "GRÖSSE\ngröße\n".encode()
    assert [hit.line for hit in found_in(data, {"pattern": "grö"})] == [1, 2]
    assert [hit.line for hit in found_in(data, {"pattern": "grö", "is_case": True})] == [2]


@given(
    st.lists(st.binary(max_size=5).map(lambda line: line.replace(b"\n", b"")), max_size=20), st.booleans(), st.integers(1, 25)
)
def test_a_line_starts_where_its_number_says(some: list[bytes], ends: bool, number: int) -> None:
    data = b"\n".join(some) + (b"\n" if ends and some else b"")

    def read(at: int, size: int) -> bytes:
        return data[at : at + size]

    place = lines.start_of(read, len(data), number)
    assert place.offset == 0 or data[place.offset - 1 : place.offset] == b"\n"
    assert data[: place.offset].count(b"\n") + 1 == place.line
    assert place.line <= number
    if place.line < number:
        assert b"\n" not in data[place.offset :].removesuffix(b"\n")
    assert lines.line_of(read, place.offset).line == place.line
