"""The store on plain files of a local file system.

Reads from and writes to <root>/<key>. For streams the root is <data_dir>/runs; snapshots lie below <data_dir>/snapshots.
Foreign errors (OSError) become StoreFull, NameTaken or StoreError here and nowhere else.
"""

# ruff: noqa: PTH102, PTH104, PTH105, PTH108, PTH112, PTH116, PTH120, PTH208
# os.* is one system call each; making a Path costs more than most of them.
from __future__ import annotations

import errno
import os
import resource
import shutil
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from runyard.atomic import sync_folder
from runyard.names import DIR_MODE, FILE_MODE

from .file_system import FileSystem
from .store import NameTaken, NotStored, StoreError, StoreFull, TooLarge

# Larger writes into the page cache cost up to ten times the CPU on virtual machines (measured).
PIECE_BYTES = 256 << 10
# Each costs the kernel half a kilobyte; one that is closed and opened again costs more than the write.
MOST_OPEN_FILES = 65_536

_FULL = {errno.ENOSPC, errno.EDQUOT}
_TAKEN = {errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY}
_ZEROS = bytes(PIECE_BYTES)


def most_open_files() -> int:
    """How many streams' files may be open: half of what the system allows, which is raised as far as it goes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return min(MOST_OPEN_FILES, (soft if soft > 0 else MOST_OPEN_FILES * 2) // 2)


@contextmanager
def _mapped(key: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise NotStored(f"{key} is not stored") from error
    except OSError as error:
        raise _foreign(key, error) from error


def _foreign(key: str, error: OSError) -> StoreError:
    if error.errno in _FULL:
        return StoreFull("the collector's disk is full")
    if error.errno in _TAKEN:
        return NameTaken(f"{key} cannot be stored: a file lies where a folder is needed, or the other way round")
    if error.errno == errno.EFBIG:
        return TooLarge(f"{key} would become larger than this file system's largest file")
    return StoreError(f"{key} cannot be stored or read: {error.strerror or error}")


class FileStore:
    """The Store on a local file system. Keeps the most recently used `open_files` descriptors open."""

    def __init__(self, root: Path, open_files: int) -> None:
        self._root = str(root)
        self._open_files = max(16, open_files)
        self._file_system: FileSystem | None = FileSystem(self._root)  # before anything is written: it is told of all errors
        self._descriptors: OrderedDict[str, int] = OrderedDict()

    def path(self, key: str) -> str:
        """The file of `key`."""
        return f"{self._root}/{key}"

    @property
    def open_descriptors(self) -> int:
        """How many descriptors are open now."""
        return len(self._descriptors)

    def place(self, places: Iterable[tuple[str, str | None]]) -> None:
        folders: dict[str, None] = {}
        for key, earlier in places:
            with _mapped(key):
                path = self.path(key)
                folder = os.path.dirname(path)
                self._make_folder(folder, folders)
                if earlier is not None and os.path.lexists(path) and not os.path.lexists(self.path(earlier)):
                    os.rename(path, self.path(earlier))
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE))
                folders[folder] = None
        for folder in folders:
            with _mapped(folder):
                sync_folder(folder)

    def move(self, key: str, to: str) -> None:
        with _mapped(key):
            os.replace(self.path(key), self.path(to))
            for folder in {os.path.dirname(self.path(key)), os.path.dirname(self.path(to))}:
                sync_folder(folder)

    def remove(self, key: str) -> None:
        with _mapped(key):
            try:
                os.unlink(self.path(key))
            except FileNotFoundError:
                return
            except IsADirectoryError:
                shutil.rmtree(self.path(key))

    def forget(self, key: str) -> None:
        descriptor = self._descriptors.pop(key, None)
        if descriptor is not None:
            os.close(descriptor)

    def _make_folder(self, folder: str, to_sync: dict[str, None]) -> None:
        if os.path.isdir(folder):
            return
        parent = os.path.dirname(folder)
        self._make_folder(parent, to_sync)
        try:
            os.mkdir(folder, DIR_MODE)
        except FileExistsError:
            # Another thread may have made it in the meantime; anything else that lies here is in the way.
            if not os.path.isdir(folder):
                raise
        to_sync[parent] = None

    def write(self, key: str, offset: int, piece: memoryview) -> int:
        try:
            descriptor = self._descriptors[key]
            self._descriptors.move_to_end(key)
        except KeyError:
            descriptor = self._open(key)
        done, size = 0, len(piece)
        try:
            if size <= PIECE_BYTES:
                return os.pwrite(descriptor, piece, offset)
            while done < size:
                done += os.pwrite(descriptor, piece[done : done + PIECE_BYTES], offset + done)
        except OSError as error:
            if not done:
                raise _foreign(key, error) from error
        return done

    def extend(self, key: str, size: int) -> None:
        with _mapped(key):
            os.ftruncate(self._descriptor(key), size)

    def blank(self, key: str, start: int, end: int) -> None:
        descriptor = self._descriptor(key)
        with _mapped(key):
            while start < end:
                start += os.pwrite(descriptor, _ZEROS[: end - start], start)

    def cut(self, key: str, size: int) -> None:
        with _mapped(key):
            os.truncate(self.path(key), size)

    def sync(self, key: str) -> int:
        # Through a descriptor of its own: the loop's thread may close its one at any moment to open another file.
        with _mapped(key):
            descriptor = os.open(self.path(key), os.O_RDWR | os.O_CLOEXEC)
            try:
                size = os.fstat(descriptor).st_size
                os.fdatasync(descriptor)
                return size
            finally:
                os.close(descriptor)

    def sync_all(self) -> bool:
        if self._file_system is None:
            self._file_system = FileSystem(self._root)
        return self._file_system.sync()

    def size(self, key: str) -> int:
        status = self._status(key)
        return status.st_size if status else 0

    def modified_ns(self, key: str) -> int:
        status = self._status(key)
        return status.st_mtime_ns if status else 0

    def _status(self, key: str) -> os.stat_result | None:
        try:
            return os.stat(self.path(key))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _foreign(key, error) from error

    def read_ready(self, key: str, offset: int, size: int) -> bytes | None:
        buffer = bytearray(size)
        try:
            count = os.preadv(self._descriptor(key), [buffer], offset, os.RWF_NOWAIT)
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno == errno.EOPNOTSUPP:
                return None
            raise _foreign(key, error) from error
        # A short answer may mean that the rest lies on the disk; only the blocking read knows the end.
        return bytes(buffer) if count == size else None

    def read_recent(self, key: str, offset: int, size: int) -> bytes:
        try:
            return os.pread(self._descriptor(key), size, offset)
        except OSError as error:
            raise _foreign(key, error) from error

    def read(self, key: str, offset: int, size: int) -> bytes:
        with _mapped(key):
            descriptor = os.open(self.path(key), os.O_RDONLY | os.O_CLOEXEC)
            try:
                return _pread_all(descriptor, offset, size)
            finally:
                os.close(descriptor)

    def names(self, folder: str) -> list[str]:
        with _mapped(folder):
            try:
                return os.listdir(self.path(folder))
            except FileNotFoundError:
                return []

    def free_bytes(self) -> int:
        with _mapped("the data folder"):
            status = os.statvfs(self._root)
            return status.f_bavail * status.f_frsize

    def close(self) -> None:
        """Close all descriptors; the store can be used again."""
        while self._descriptors:
            os.close(self._descriptors.popitem()[1])
        if self._file_system is not None:
            self._file_system.close()
            self._file_system = None

    def _descriptor(self, key: str) -> int:
        descriptor = self._descriptors.get(key)
        return self._open(key) if descriptor is None else descriptor

    def _open(self, key: str) -> int:
        with _mapped(key):
            descriptor = os.open(self.path(key), os.O_RDWR | os.O_CLOEXEC)
        self._descriptors[key] = descriptor
        while len(self._descriptors) > self._open_files:
            os.close(self._descriptors.popitem(last=False)[1])
        return descriptor


def _pread_all(descriptor: int, offset: int, size: int) -> bytes:
    pieces: list[bytes] = []
    while size > 0:
        piece = os.pread(descriptor, min(size, PIECE_BYTES * 4), offset)
        if not piece:
            break
        pieces.append(piece)
        offset, size = offset + len(piece), size - len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
