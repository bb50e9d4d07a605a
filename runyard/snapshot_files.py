"""Which files of a folder are its code: all that git would show, by `.amlignore` or `.gitignore`, and no way out of the folder.

Reads the folder and the ignore files in it; the same folder gives the same list, in the order of the names' bytes.
"""

from __future__ import annotations

import errno
import os
import posixpath
import stat
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from .errors import InputError
from .ignore_rules import Rules

# At the top the first of them that is there counts; below it, .gitignore.
IGNORE_FILES = (".amlignore", ".gitignore")
KINDS = {stat.S_IFSOCK: "a socket", stat.S_IFIFO: "a named pipe", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}
# Somebody else has removed or replaced it since it was listed.
GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE)

# With the folder that each lies in: empty, or with a slash at the end.
_Rules = tuple[tuple[str, Rules], ...]


class ChangedError(Exception):
    """What was read is not what was listed any more; the message is its name."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file, or a link where there is a target. `name` is relative to the folder."""

    name: str
    path: str
    size_bytes: int
    target: str = ""


def members_of(folder: Path, say: Callable[[str], None], leave_out: Collection[Path] = ()) -> list[Member]:
    """The files and links in the folder that are not ignored; `say` is told of sockets, pipes and devices, which are left out.

    So are the folders `leave_out`, where they lie in it: a cache or a spool would grow with each snapshot that holds it.
    Raises InputError for what cannot be read or leads out, ChangedError where the folder does not hold still.
    """
    walk = _Walk(f"{folder}/", os.path.realpath(folder), say, {_inode(path.stat()) for path in leave_out if path.is_dir()})
    walk.folder("", ())
    return sorted(walk.members, key=lambda member: os.fsencode(member.name))


def leads_out(name: str, target: str) -> bool:
    """Whether a link with the relative path `name` leads out of its tree, by its words alone: no disk is asked."""
    inner = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
    return inner.startswith("/") or inner.split("/")[0] == ".."


@contextmanager
def reading(name: str) -> Iterator[None]:
    """What cannot be read becomes one sentence; what is gone in the meantime is a ChangedError."""
    try:
        yield
    except OSError as error:
        if error.errno in GONE:
            raise ChangedError(name) from error
        raise InputError(
            f"{name!r} in the code folder cannot be read: {error.strerror}; let it be read, or name it in .amlignore"
        ) from error


@dataclass(slots=True)
class _Walk:
    root: str  # ends with a slash
    real_root: str
    say: Callable[[str], None]
    left_out: set[tuple[int, int]]
    members: list[Member] = field(default_factory=list)

    def folder(self, prefix: str, rules: _Rules) -> None:
        """Take up what lies in the folder `prefix`, which is empty or ends with a slash. `rules` are those from above."""
        with reading(prefix or "."):
            entries = sorted(os.scandir(self.root + prefix), key=lambda entry: os.fsencode(entry.name))
        rules += tuple((prefix, one) for one in self._rules_in(prefix, entries))
        for entry in entries:
            name = prefix + entry.name
            is_folder = entry.is_dir(follow_symlinks=False)
            if entry.name == ".git" or _is_ignored(name, rules, is_folder=is_folder):
                continue
            if not is_folder:
                self._take(name, entry)
            elif not self._is_left_out(name, entry):
                self.folder(f"{name}/", rules)

    def _is_left_out(self, name: str, entry: os.DirEntry[str]) -> bool:
        with reading(name):
            return _inode(entry.stat(follow_symlinks=False)) in self.left_out

    def _take(self, name: str, entry: os.DirEntry[str]) -> None:
        with reading(name):
            status = entry.stat(follow_symlinks=False)
            if entry.is_symlink():
                self.members.append(Member(name, entry.path, 0, self._inner_target(name, Path(entry.path))))
            elif stat.S_ISREG(status.st_mode):
                self.members.append(Member(name, entry.path, status.st_size))
            else:
                self.say(f"{name!r} is not taken along: it is {KINDS.get(stat.S_IFMT(status.st_mode), 'no file')}")

    def _inner_target(self, name: str, path: Path) -> str:
        target = str(path.readlink())
        # By what it really leads to here, past other links, and by its words, for those are all that the nodes get.
        is_inside = os.path.commonpath((self.real_root, os.path.realpath(path))) == self.real_root
        if leads_out(name, target) or not is_inside:
            raise InputError(
                f"the link {name!r} leads out of the code folder, to {target!r}; put a copy of that in its place, bring it"
                " as a datastore, or name the link in .amlignore"
            )
        return target

    def _rules_in(self, prefix: str, entries: list[os.DirEntry[str]]) -> Iterator[Rules]:
        files = {entry.name: entry.path for entry in entries if entry.is_file(follow_symlinks=False)}
        for name in IGNORE_FILES[1 if prefix else 0 :]:
            if name in files:
                with reading(prefix + name):
                    yield Rules(Path(files[name]).read_text("utf-8-sig", errors="surrogateescape"))
                return


def _inode(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _is_ignored(name: str, rules: _Rules, *, is_folder: bool) -> bool:
    for prefix, one in reversed(rules):
        verdict = one.verdict(name[len(prefix) :], is_folder=is_folder)
        if verdict is not None:
            return verdict
    return False
