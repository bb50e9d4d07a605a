"""A folder to download into, which nothing leads out of: neither a name with `..` nor a link that lies in it.

Reads from and writes to the folder and what lies below it, each step from the descriptor of the one before.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from runyard import names
from runyard.errors import RunyardError

HASH_BYTES = 1 << 20
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class UnsafeName(RunyardError):  # noqa: N818 - it says what the name is
    """A name that would lead out of the folder, or at which something else lies."""


class FolderError(RunyardError):
    """The folder cannot be made or written."""


class Folder:
    """The folder at `path`, made where it is not there; a link at `path` itself is the user's own and is followed."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __enter__(self) -> Folder:
        try:
            Path(self.path).mkdir(parents=True, exist_ok=True)
            self._root = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise FolderError(f"the folder {self.path} cannot be used: {error.strerror}") from error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self._root)

    @contextmanager
    def open(self, name: str) -> Iterator[int]:
        """A descriptor of the regular file `name`, to read and write, made with its folders where it is not there."""
        why = names.why_bad_stream_name(name)
        if why:
            raise UnsafeName(f"its name {why}")
        *folders, last = name.split("/")
        parent = os.dup(self._root)
        try:
            for folder in folders:
                parent = self._enter(parent, folder)
            target = self._open_file(parent, last)
        finally:
            os.close(parent)
        try:
            yield target
        except OSError as error:
            raise FolderError(f"{self.path}/{name} cannot be written: {error.strerror}") from error
        finally:
            os.close(target)

    def _enter(self, parent: int, folder: str) -> int:
        try:
            with suppress(FileExistsError):
                os.mkdir(folder, dir_fd=parent)
            child = os.open(folder, _FOLDER, dir_fd=parent)
        except NotADirectoryError as error:
            raise UnsafeName(f"{folder!r} in {self.path} is a link or a file, not a folder") from error
        except OSError as error:
            raise FolderError(f"the folder {folder!r} in {self.path} cannot be used: {error.strerror}") from error
        os.close(parent)
        return child

    def _open_file(self, parent: int, last: str) -> int:
        # O_NONBLOCK: a named pipe that lies there must not hold us up.
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            target = os.open(last, flags, 0o666, dir_fd=parent)
        except OSError as error:
            raise UnsafeName(f"{last!r} in {self.path} is no file that can be written: {error.strerror}") from error
        if not stat.S_ISREG(os.fstat(target).st_mode) or os.fstat(target).st_nlink > 1:
            os.close(target)
            raise UnsafeName(f"{last!r} in {self.path} is no plain file of its own")
        return target

    @staticmethod
    def write(target: int, data: bytes, position: int) -> None:
        """Write all of `data` at `position`."""
        view = memoryview(data)
        while view:
            written = os.pwrite(target, view, position)
            view, position = view[written:], position + written

    @staticmethod
    def sha256(target: int) -> str:
        """Digest of the whole file, in hex. Blocks for as long as reading it takes."""
        digest, position = hashlib.sha256(), 0
        while block := os.pread(target, HASH_BYTES, position):
            digest.update(block)
            position += len(block)
        return digest.hexdigest()
