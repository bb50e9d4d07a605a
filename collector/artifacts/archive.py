"""A zip of files as they lie in a store, made while it is sent: nothing of it is built first, and no file is held in memory.

Reads from the stores of the entries, piece by piece as the client takes them; writes nothing. A file that grows meanwhile is
cut at the size that it had when the archive began. What compresses is deflated, all else is stored.
"""

from __future__ import annotations

import re
import time
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence

from runyard.collector.store import NotStored

from .files import Entry

CONTENT_TYPE = "application/zip"

READ_BYTES = 256 << 10
# Small files are sent together.
SEND_BYTES = 64 << 10
SAMPLE_BYTES = 64 << 10
# Less than a tenth saved is not worth the time on both sides.
WORTH = 0.9
LEVEL = 1
MISSING = "not_included.txt"

_FIRST, _LAST = (1980, 1, 1, 0, 0, 0), (2107, 12, 31, 23, 59, 58)
# What Windows takes for something else than a name: a drive, a folder, a stream, a pattern.
_FOREIGN = re.compile(r'[\x00-\x1f\x7f<>:"|?*\\\ud800-\udfff]')
_DEVICE = re.compile(r"(?i)(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])\s*(\..*)?")


class _Outlet:
    """What a ZipFile writes to: it cannot go back, and gives away what it has."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self.held_bytes = 0

    def write(self, data: bytes) -> int:
        self._pieces.append(bytes(data))
        self.held_bytes += len(data)
        return len(data)

    def flush(self) -> None:
        """Nothing waits."""

    def take(self) -> bytes:
        """All that was written since."""
        pieces, self._pieces, self.held_bytes = self._pieces, [], 0
        return b"".join(pieces)


def pieces(entries: Sequence[Entry]) -> Iterator[bytes]:
    """The archive's bytes. Blocks; raises StoreError where a file has gone meanwhile. What is not here whole is left out, and
    the archive says so in MISSING."""
    outlet = _Outlet()
    with zipfile.ZipFile(outlet, "w") as archive:  # type: ignore[call-overload]
        for entry, name in zip(entries, safe_names(entry.path for entry in entries), strict=True):
            if entry.place is not None:
                yield from _file(archive, outlet, entry, name)
        missing = [f"{one.path}: {one.come_bytes} of {one.size_bytes} bytes have come" for one in entries if one.place is None]
        if missing:
            archive.writestr(MISSING, "\n".join(missing).encode("utf-8", "replace") + b"\n")
    yield outlet.take()


def _file(archive: zipfile.ZipFile, outlet: _Outlet, entry: Entry, name: str) -> Iterator[bytes]:
    place, size = entry.place, entry.size_bytes
    assert place is not None
    data = place.store.read(place.key, 0, min(READ_BYTES, size)) if size else b""
    modified_ns = entry.modified_ms * 10**6 or place.store.modified_ns(place.key)
    position = 0
    with archive.open(_info(name, size, modified_ns, data[:SAMPLE_BYTES]), "w") as target:
        while position < size:
            if not data:
                raise NotStored(f"{entry.path} became shorter while it was read")
            target.write(data)
            position += len(data)
            if outlet.held_bytes >= SEND_BYTES:
                yield outlet.take()
            data = place.store.read(place.key, position, min(READ_BYTES, size - position)) if position < size else b""


def _info(name: str, size: int, modified_ns: int, sample: bytes) -> zipfile.ZipInfo:
    moment = time.gmtime(modified_ns // 10**9)[:6]
    info = zipfile.ZipInfo(name, min(max(moment, _FIRST), _LAST))
    info.external_attr = 0o100644 << 16
    info.file_size = size  # so that it is known whether 32 bits are enough
    if len(zlib.compress(sample, LEVEL)) < WORTH * len(sample):
        info.compress_type = zipfile.ZIP_DEFLATED
        info._compresslevel = LEVEL  # type: ignore[attr-defined]
    return info


def safe_names(paths: Iterable[str]) -> Iterator[str]:
    """Names for an archive that are files below the folder it is unpacked in, wherever that is; each once, and none is the
    folder of another."""
    taken: set[str] = set()
    folders: set[str] = set()
    for path in paths:
        name = "/".join(_safe_part(part) for part in path.split("/"))
        parts = name.split("/")
        for count in range(1, len(parts)):
            while "/".join(parts[:count]) in taken:
                parts[count - 1] += "~"
        while "/".join(parts) in taken or "/".join(parts) in folders:
            parts[-1] += "~"
        name = "/".join(parts)
        taken.add(name)
        folders.update("/".join(parts[:count]) for count in range(1, len(parts)))
        yield name


def _safe_part(part: str) -> str:
    part = _FOREIGN.sub("_", part)
    if part.endswith((".", " ")) or not part:
        part += "_"
    return f"_{part}" if _DEVICE.fullmatch(part) else part
