"""A code snapshot becomes a folder, whoever packed it: what an archive could do harm with is refused before a byte is written.

Reads the archive; writes to a folder beside the target, which takes the target's place when it is whole.
"""

from __future__ import annotations

import os
import posixpath
import shutil
import tarfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from runyard.errors import PhaseError
from runyard.snapshot_files import leads_out

COPY_BYTES = 1 << 20
REGULAR = (tarfile.REGTYPE, tarfile.AREGTYPE)
KINDS = {
    tarfile.LNKTYPE: "a hard link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a named pipe",
}


def unpack(archive: Path, target: Path, say: Callable[[str], None]) -> None:
    """Put what the archive holds into `target`, in place of what is there. Blocks.

    Raises PhaseError, and leaves no target, where one entry is refused or something cannot be written. One caller at a time
    for each target (`unpack_once` sees to that).
    """
    begun_s = time.monotonic()
    temporary = target.with_name(f".{target.name}.unpacking")
    for old in (temporary, target):  # of a try that was killed
        with suppress(FileNotFoundError):
            shutil.rmtree(old)
    try:
        with tarfile.open(archive, "r:") as packed:
            members = _checked(packed)
            temporary.mkdir(mode=0o755, parents=True)
            _write(packed, members, temporary)
        temporary.rename(target)
    except (tarfile.TarError, EOFError) as error:
        raise PhaseError(f"the snapshot {archive.name} is no whole tar archive: {error}") from error
    except OSError as error:
        raise PhaseError(f"the snapshot {archive.name} cannot be unpacked into {target}: {error.strerror}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    size_bytes = sum(member.size for member in members.values())
    say(f"Unpacked {len(members)} entries, {size_bytes / 1e6:.1f} MB, in {time.monotonic() - begun_s:.1f} s.")


def _checked(packed: tarfile.TarFile) -> dict[str, tarfile.TarInfo]:
    """The archive's members by name; nothing was written yet. Raises PhaseError for the first that must not be."""
    members: dict[str, tarfile.TarInfo] = {}
    for member in packed:
        name = member.name.removeprefix("./")
        if name == "." and member.isdir():
            continue
        why = _why_refused(name, member) or ("is in it twice" if name in members else "")
        if why:
            raise PhaseError(f"the snapshot holds {member.name!r}, which {why}; it is not unpacked")
        members[name] = member
    for name in members:
        for parent in _parents(name):
            if parent in members and not members[parent].isdir():
                kind = "link" if members[parent].issym() else "file"
                raise PhaseError(f"the snapshot holds {name!r}, which lies below the {kind} {parent!r}; it is not unpacked")
    return members


def _why_refused(name: str, member: tarfile.TarInfo) -> str:
    if member.name.startswith("/"):
        return "is an absolute path"
    if ".." in name.split("/"):
        return "leads out of the folder"
    if any(part in ("", ".") for part in name.split("/")) or "\0" in name:
        return "is no proper relative path"
    if member.mode & 0o7000:
        return "has the setuid, setgid or sticky bit"
    if member.issym():
        return f"is a link out of the folder, to {member.linkname!r}" if leads_out(name, member.linkname) else ""
    if member.isdir() or (member.type in REGULAR and member.sparse is None):
        return ""
    return f"is {KINDS.get(member.type, 'no file, folder or link')}"


def _parents(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def _write(packed: tarfile.TarFile, members: dict[str, tarfile.TarInfo], folder: Path) -> None:
    # While files are written there is no link yet that one of them could be written through.
    links = {name: member for name, member in members.items() if member.issym()}
    for name, member in members.items():
        if member.isdir():
            (folder / name).mkdir(parents=True, exist_ok=True)
        elif name not in links:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            _write_file(packed, member, folder / name)
    for name, member in links.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(member.linkname)
    root = os.path.realpath(folder)
    for name, member in links.items():  # several links together may lead where none of them leads alone
        if posixpath.commonpath((root, os.path.realpath(folder / name))) != root:
            raise PhaseError(f"the snapshot holds {name!r}, which is a link out of the folder, to {member.linkname!r}")


def _write_file(packed: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    source = packed.extractfile(member)
    assert source is not None
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC)
    with source, os.fdopen(descriptor, "wb", buffering=0) as file:
        shutil.copyfileobj(source, file, COPY_BYTES)
        os.fchmod(descriptor, 0o755 if member.mode & 0o100 else 0o644)
