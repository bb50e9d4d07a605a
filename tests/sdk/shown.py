"""What wait_for_completion has shown, read back: the text of each file, from the sections under its headings."""

from __future__ import annotations

import re

HEADING = re.compile(r"(?:\A|\n)Streaming (\S+)\n(=+)\n\n")
SUMMARY = re.compile(r"\nExecution Summary\n=================\n")


def sections(text: str) -> list[tuple[str, str]]:
    """(file, what stands below the heading) in the order in which they were shown, without head and summary."""
    text = SUMMARY.split(text)[0]
    found = list(HEADING.finditer(text))
    for heading in found:
        assert len(heading[2]) == len(heading[1]) + 10
    ends = [heading.start() for heading in found[1:]] + [len(text)]
    return [(heading[1], text[heading.end() : end]) for heading, end in zip(found, ends, strict=True)]


def is_shown(shown: list[tuple[str, str]], file: str, content: str) -> bool:
    """Whether the file's sections, joined, are exactly its content; a line that was left in its middle, or that the file ends
    in, has got an end of line."""
    positions = {0}
    for name, body in shown:
        if name == file:
            whole = {at + len(body) for at in positions if content.startswith(body, at)}
            left = {at + len(body) - 1 for at in positions if body.endswith("\n") and content.startswith(body[:-1], at)}
            positions = whole | left
    return len(content) in positions
