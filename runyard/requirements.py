"""Requirements of a venv as one text: the files that `-r` and `-c` lines name are read in, so that the text tells it all.

Reads requirements files; writes nothing. What a line means is left to pip, but for these two options.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .errors import InputError
from .spec_kinds import shown_path

# A lock file with hashes for every platform has some hundred kilobytes; the text travels in the run's description.
MOST_BYTES = 4 << 20

_INCLUDE = re.compile(r"(?:(?P<short>-[rc])\s*|--(?P<long>requirement|constraint)(?:\s+|\s*=\s*))(?P<path>\S.*)")
_COMMENT = re.compile(r"(^|\s+)#.*$")


@dataclass(frozen=True, slots=True)
class Requirements:
    """What pip is asked for, and the versions it may take."""

    text: str = ""
    constraints: str = ""
    folder: str = ""  # absolute; what a line such as ./package is relative to


def read(path: Path) -> Requirements:
    """All that the requirements file `path` asks for. Raises InputError for a file that is missing, no text, or in a cycle."""
    reader = _Reader()
    reader.read(path, (), False)
    return reader.found(path.absolute().parent)


def of_lines(lines: Iterable[str], folder: Path, where: str) -> Requirements:
    """The same for lines that stand in another file, `where`; what they name lies relative to `folder`."""
    reader = _Reader()
    reader.take(lines, folder, (), False, where)
    return reader.found(folder)


class _Reader:
    """Reads files and those that they name, each once."""

    def __init__(self) -> None:
        self._lines: dict[bool, list[str]] = {False: [], True: []}  # whether they are constraints -> the lines
        self._seen: set[tuple[Path, bool]] = set()
        self._size = 0

    def found(self, folder: Path) -> Requirements:
        """All that was read."""
        text, constraints = ("".join(f"{line}\n" for line in self._lines[kind]) for kind in (False, True))
        return Requirements(text, constraints, str(folder))

    def read(self, path: Path, chain: tuple[Path, ...], is_constraint: bool) -> None:
        """Read the file, unless pip would find nothing new in it. `chain`: the files that led here."""
        real = Path(os.path.realpath(path))
        if real in chain:
            raise InputError(
                f"the requirements file {shown_path(path)} includes itself through {shown_path(chain[-1])}; take that line out"
            )
        if (real, is_constraint) in self._seen:
            return
        self._seen.add((real, is_constraint))
        self.take(_text(path).splitlines(), path.parent, (*chain, real), is_constraint, str(path))

    def take(self, lines: Iterable[str], folder: Path, chain: tuple[Path, ...], is_constraint: bool, where: str) -> None:
        """Take the lines as they are, and in place of an include the file that it names."""
        for written, meant in _logical(lines):
            include = _INCLUDE.fullmatch(meant)
            if not include:
                self._keep(written, is_constraint)
                continue
            name = include["path"].strip("'\"")
            if "://" in name:
                scheme = name.split("://")[0]
                raise InputError(f"{where}: {scheme}:// is not read in; download that requirements file and name it")
            self.read(Path(os.path.normpath(folder / name)), chain, include["short"] == "-c" or include["long"] == "constraint")

    def _keep(self, written: list[str], is_constraint: bool) -> None:
        self._lines[is_constraint] += written
        self._size += sum(map(len, written)) + len(written)
        if self._size > MOST_BYTES:
            raise InputError(f"the requirements have more than {MOST_BYTES >> 20} MiB; they have to be a list of packages")


def _text(path: Path) -> str:
    if not os.path.isfile(path):  # noqa: PTH113 - no error for a name that is too long or holds a NUL byte
        raise InputError(f"the requirements file {shown_path(path)} does not exist; name a file with one requirement a line")
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        return data.decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"the requirements file {shown_path(path)} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise InputError(f"the requirements file {shown_path(path)} is no text; it has to be UTF-8") from None


def _logical(lines: Iterable[str]) -> Iterator[tuple[list[str], str]]:
    r"""Each requirement as (the lines that it is written in, what they mean together): a `\` at the end goes on below."""
    written: list[str] = []
    for line in lines:
        written.append(line)
        if line.endswith("\\") and not line.lstrip().startswith("#"):
            continue
        yield written, _meant(written)
        written = []
    if written:
        yield written, _meant(written)


def _meant(written: list[str]) -> str:
    return _COMMENT.sub("", "".join(line.removesuffix("\\") for line in written)).strip()
