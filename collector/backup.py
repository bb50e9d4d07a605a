"""A backup of the collector's data while it serves, and its way back.

Reads from the data folder and its database, writes to the folder of the backup, and once the data folder's name; `restore` the
other way round. Standard library and SQLite's online backup. Blocks; raises BackupError.

What a backup needs is that everything its database tells of is in its files; more bytes than the database knows do no harm,
since the size of a stream's file is the offset that is asked for next. Files only grow, are renamed, or go when their run is
removed; a row that tells of bytes is committed after them. So the database comes first, as it is at one moment, and the files
after it. It is put in place last, so that a backup that breaks off leaves the one before usable: its database with files that
have grown. The journals of the overall logs stay behind: what is not sealed of those logs is merged anew from its streams.

A data folder gets a name by chance at its first backup, and a restored one has that of its backup. So a collector that has
begun anew, since its disk was not there, say, does not bring the one good copy up to date with nothing.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from runyard import __version__
from runyard.atomic import read_json, sync_folder, write_json
from runyard.errors import RunyardError
from runyard.names import DIR_MODE, FILE_MODE

from .file_system import FileSystem

DATABASE = "collector.sqlite3"
TOKEN = "admin.token"  # noqa: S105 - the name of its file
FOLDERS = ("runs", "snapshots", "blobs")
MARK = "backup.json"
DATA_ID = "data.id"
RESTORED = "restored"  # left in the data folder: at the next start the collector's memory is another one (epoch.py)
_LOCK = "backup.lock"
_NEW = ".new"
_SCRATCH = ".copying"


class BackupError(RunyardError):
    """The backup, or the restoring, cannot be done."""


@dataclass(frozen=True, slots=True)
class Done:
    """What was written: `copied` of `files` files are new or have changed since the backup before."""

    files: int
    copied: int
    copied_bytes: int
    has_database: bool


@dataclass(slots=True)
class _Count:
    """What was copied so far. `scratch` is where a file lies until it is whole: no file of a run has that name."""

    scratch: Path
    files: int = 0
    copied: int = 0
    copied_bytes: int = 0


def backup(data_dir: Path, to: Path, *, has_database: bool = True) -> Done:
    """Bring the folder `to` up to date: made where it is not there, else only what has changed is copied. The collector may
    run. Without `has_database` the catalog lies elsewhere, and its backup has to be older than this one."""
    if not (data_dir / "runs").is_dir():
        raise BackupError(f"{data_dir} holds no collector's data; collector.data_dir or --data-dir names its folder")
    # A backup that was begun and broke off has the lock alone.
    if to.exists() and not any((to / name).exists() for name in (MARK, _LOCK)) and any(to.iterdir()):
        raise BackupError(f"{to} is there and is no backup; give an empty folder, or that of an earlier backup")
    if has_database and not (data_dir / DATABASE).exists():
        raise BackupError(f"{data_dir} holds no {DATABASE}; where the database lies elsewhere give the collector's --config")
    with _told(to):
        to.mkdir(DIR_MODE, parents=True, exist_ok=True)
        with _locked(to / _LOCK, f"another backup to {to} is under way"), closing(FileSystem(str(to))) as disk:
            data_id = _data_id(data_dir, to)
            if has_database:
                _copy_database(data_dir / DATABASE, to / (DATABASE + _NEW))
            count = _Count(to / _SCRATCH)
            for folder in FOLDERS:
                _copy_folder(data_dir / folder, to / folder, count)
            if (data_dir / TOKEN).exists():
                _copy_file(data_dir / TOKEN, to / TOKEN, count)
            _sync(disk)
            if has_database:
                (to / (DATABASE + _NEW)).replace(to / DATABASE)
            mark = {"version": __version__, "made_ns": time.time_ns(), "has_database": has_database, "data_id": data_id}
            write_json(str(to / MARK), mark)
            # Only now: until the new database was in place, the one before told of these.
            for folder in FOLDERS:
                _remove_gone(data_dir / folder, to / folder)
    return Done(count.files, count.copied, count.copied_bytes, has_database)


def restore(backup_dir: Path, data_dir: Path) -> Done:
    """Make a data folder of a backup. The folder may not hold anything of a collector's."""
    mark = read_json(str(backup_dir / MARK)) if backup_dir.is_dir() else None
    if not isinstance(mark, dict):
        raise BackupError(f"{backup_dir} is no backup that has come to its end: it has no {MARK}")
    with _told(data_dir):
        data_dir.mkdir(DIR_MODE, parents=True, exist_ok=True)
        in_use = f"{data_dir} is in use by a collector; stop it first"
        with _locked(data_dir / "collector.lock", in_use), closing(FileSystem(str(data_dir))) as disk:
            held = [name for name in (DATABASE, *FOLDERS) if (data_dir / name).exists()]
            if held:
                raise BackupError(f"{data_dir} holds {' and '.join(held)} already; move them away, nothing is overwritten")
            count = _Count(data_dir / _SCRATCH)
            for folder in FOLDERS:
                _copy_folder(backup_dir / folder, data_dir / folder, count)
            (data_dir / "runs").mkdir(DIR_MODE, exist_ok=True)
            if (backup_dir / TOKEN).exists():
                _copy_file(backup_dir / TOKEN, data_dir / TOKEN, count)
            if isinstance(mark.get("data_id"), str):
                write_json(str(data_dir / DATA_ID), mark["data_id"])
            write_json(str(data_dir / RESTORED), {"restored_ns": time.time_ns()})
            # Last: a restoring that breaks off leaves no folder that a collector would serve half of.
            if mark.get("has_database"):
                _copy_file(backup_dir / DATABASE, data_dir / DATABASE, count)
            _sync(disk)
    return Done(count.files, count.copied, count.copied_bytes, bool(mark.get("has_database")))


def _data_id(data_dir: Path, to: Path) -> str:
    """The name of the data folder, which it may get here; raises BackupError where the backup is that of another one."""
    here = read_json(str(data_dir / DATA_ID))
    mark = read_json(str(to / MARK))
    there = mark.get("data_id") if isinstance(mark, dict) else None
    if isinstance(there, str) and there != here:
        why = "has begun anew, or is another one" if here is None else "is another one"
        raise BackupError(
            f"{to} is a backup of other data than {data_dir}, which {why}; nothing was changed, give an empty folder"
        )
    if not isinstance(here, str):
        here = secrets.token_hex(16)
        write_json(str(data_dir / DATA_ID), here)
    return here


@contextmanager
def _told(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BackupError(f"{error.filename or place}: {error.strerror or error}") from error
    except sqlite3.Error as error:
        raise BackupError(f"the database cannot be copied: {error}") from error


@contextmanager
def _locked(path: Path, taken: str) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BackupError(taken) from None
        yield
    finally:
        os.close(descriptor)


def _sync(disk: FileSystem) -> None:
    """What was copied survives a power cut; other disks, on which the collector may be writing, are not waited for."""
    if not disk.sync():
        os.sync()


def _copy_database(source: Path, target: Path) -> None:
    """The database as it is at one moment, whoever writes to it meanwhile."""
    target.unlink(missing_ok=True)
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, FILE_MODE))
    live = closing(sqlite3.connect(source.absolute().as_uri() + "?mode=rw", uri=True))
    with live as original, closing(sqlite3.connect(target)) as copy:
        original.backup(copy)
        # One file alone: nobody who copies the backup forgets its log.
        copy.execute("PRAGMA journal_mode=DELETE")


def _copy_folder(source: Path, target: Path, count: _Count) -> None:
    """All that lies in it. Looks again until nothing new is there: an earlier generation of a file is moved aside while the
    next one takes its name."""
    if not source.is_dir():
        return
    target.mkdir(DIR_MODE, parents=True, exist_ok=True)
    seen: set[str] = set()
    while new := [name for name in _names(source) if name not in seen]:
        seen.update(new)
        for name in new:
            if (source / name).is_dir():
                _copy_folder(source / name, target / name, count)
            else:
                _copy_file(source / name, target / name, count)
    sync_folder(str(target))


def _names(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except FileNotFoundError:  # its run was removed meanwhile
        return []


def _copy_file(source: Path, target: Path, count: _Count) -> None:
    with suppress(FileNotFoundError):  # moved or removed meanwhile
        status = source.stat()
        count.files += 1
        if _is_same(status, target):
            return
        with source.open("rb") as read, open(count.scratch, "wb", opener=_private) as write:
            shutil.copyfileobj(read, write, 1 << 20)
            size = write.tell()
        # As it was before the copy: where bytes came meanwhile the next backup looks again.
        os.utime(count.scratch, ns=(status.st_atime_ns, status.st_mtime_ns))
        count.scratch.replace(target)
        count.copied += 1
        count.copied_bytes += size


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, FILE_MODE)


def _is_same(status: os.stat_result, target: Path) -> bool:
    with suppress(FileNotFoundError):
        there = target.stat()
        return (there.st_size, there.st_mtime_ns) == (status.st_size, status.st_mtime_ns)
    return False


def _remove_gone(source: Path, target: Path) -> None:
    """What the data folder has not any more."""
    for name in _names(target):
        if not os.path.lexists(source / name):
            path = target / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        elif (target / name).is_dir():
            _remove_gone(source / name, target / name)
