"""What the documents hold: their fenced blocks, their links, and the shell script that a reader of one would have typed.

A block of `sh` is typed as it stands. One of `console` shows commands behind `$ ` and what they print; `…` there stands for
anything, a line of it for any lines. A block of another kind whose first line names a file (`# train.py`) is that file.
`<!-- tested by tests/… -->` before a block of commands says that it needs another place, and which files test it there.
Pure, but for reading the documents.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHELL = ("sh", "console")

_FENCE = re.compile(r"^(\s*)```(\w*)\s*$")
_TAG = re.compile(r"<!-- tested by (.+) -->")
_FILE = re.compile(r"# (\S+\.(?:py|toml|txt|sh))\n")
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
# Begins of lines that are commands, wherever they stand.
_COMMAND = re.compile(r"^(?:\$ )?(?:sudo |[A-Z_]+=\S+ )*(?:runyard|make|pip|curl|export|sudo|srun|sbatch|python3?|kill) ")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: `kind` is the word behind the fence, `tested_by` what runs it elsewhere; none: it is run here."""

    kind: str
    text: str
    line: int
    tested_by: tuple[str, ...] = ()

    @property
    def file(self) -> str:
        """The name of the file that it is; empty where it is none."""
        named = _FILE.match(self.text) if self.kind not in SHELL else None
        return named[1] if named else ""

    @property
    def commands(self) -> list[str]:
        """Its commands, lines that go on joined."""
        text = self.text
        if self.kind == "console":
            text = "\n".join(line[2:] for line in text.splitlines() if line.startswith("$ "))
        return [line for line in text.replace("\\\n", " ").splitlines() if line.strip() and not line.startswith("#")]


def documents() -> list[Path]:
    """The README and all below docs/, in their order."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def name_of(document: Path) -> str:
    """As people call it."""
    return str(document.relative_to(ROOT))


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a document, in their order."""
    return list(_blocks(text.splitlines()))


def _blocks(lines: Sequence[str]) -> Iterator[Block]:
    kind, begin, indent, held = "", -1, 0, list[str]()
    tag: tuple[str, ...] = ()
    for number, line in enumerate(lines, 1):
        fence = _FENCE.match(line)
        if begin < 0 and fence:
            kind, begin, indent, held = fence[2], number, len(fence[1]), []
        elif begin >= 0 and fence and not fence[2]:
            yield Block(kind, "".join(f"{one}\n" for one in held), begin, tag)
            begin, tag = -1, ()
        elif begin >= 0:
            held.append(line[indent:])
        elif found := _TAG.fullmatch(line.strip()):
            tag = tuple(found[1].split())
        elif line.strip():
            tag = ()


def unfenced_commands(text: str) -> list[str]:
    """Lines that look like commands and stand in an indented block, where nothing runs them."""
    is_fenced, found = False, []
    for line in text.splitlines():
        if _FENCE.match(line):
            is_fenced = not is_fenced
        elif not is_fenced and line.startswith("    ") and _COMMAND.match(line.strip()):
            found.append(line.strip())
    return found


def links(text: str) -> list[str]:
    """Where its links lead, those in blocks left out."""
    return _LINK.findall(_outside(text))


def anchors(text: str) -> set[str]:
    """The anchors of its headings, as GitHub makes them."""
    made: set[str] = set()
    for heading in _HEADING.findall(_outside(text)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
        made.add(re.sub(r"[^\w\- ]", "", plain).replace(" ", "-"))
    return made


def _outside(text: str) -> str:
    """The document without its fenced blocks."""
    is_fenced, kept = False, []
    for line in text.splitlines():
        if _FENCE.match(line):
            is_fenced = not is_fenced
        elif not is_fenced:
            kept.append(line)
    return "\n".join(kept)


@dataclass(frozen=True, slots=True)
class Shown:
    """What a `console` block says that its command prints, and the file into which the script puts what it does print."""

    command: str
    lines: tuple[str, ...]
    output: str
    line: int


def script(found: Sequence[Block], port: int) -> tuple[str, list[Shown]]:
    """All blocks that are run here, as one script for bash in the reader's folder, and what it has to print."""
    parts, shown = ["set -u"], list[Shown]()
    for block in found:
        if block.file:
            parts.append(f"cat > {block.file} <<'END_OF_FILE'\n{block.text}END_OF_FILE")
        elif block.kind == "sh" and not block.tested_by:
            parts += ["set -e", f"# line {block.line}", _waiting(block.text, port), "set +e"]
        elif block.kind == "console" and not block.tested_by:
            for command, lines in _exchanges(block.text):
                shown.append(Shown(command, lines, f".shown.{len(shown)}", block.line))
                parts.append(f"# line {block.line}\n{{ {command}\n}} > .shown.{len(shown) - 1} 2>&1")
    return "\n".join(parts) + "\n", shown


def _waiting(text: str, port: int) -> str:
    """What is started in the background serves before the next line is typed: nobody types that fast."""
    ready = f"until (exec 3<>/dev/tcp/127.0.0.1/{port}) 2>/dev/null; do sleep 0.05; done"
    return re.sub(r"^(.*runyard collector.*&)$", rf"\1\n{ready}", text, flags=re.MULTILINE)


def _exchanges(text: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    command, lines = "", list[str]()
    for line in text.splitlines():
        if line.startswith("$ "):
            if command:
                yield command, tuple(lines)
            command, lines = line[2:], []
        elif command.endswith("\\"):
            command += f"\n{line}"
        else:
            lines.append(line)
    if command:
        yield command, tuple(lines)


def missing(shown: Shown, printed: str) -> str:
    """The first line that was shown and not printed, where it should have been; empty where all is as shown."""
    rest = [line.rstrip() for line in printed.splitlines()]
    is_free = False
    for line in shown.lines:
        if line.strip() == "…":
            is_free = True
            continue
        wanted = re.compile(r"\s+".join(re.escape(word).replace("…", ".*") for word in line.split()))
        at = next((at for at, given in enumerate(rest) if wanted.fullmatch(given.strip())), None)
        if at is None or (at and not is_free):
            return line
        rest, is_free = rest[at + 1 :], False
    return "" if is_free or not rest else f"(nothing more, but: {rest[0]})"
