"""One ingest request's body: small pieces are read and joined, large ones stay in their files until they are sent.

Reads from the files of the run; writes nothing.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field

from runyard.wire import DATA, GAP, pack_header

from .files import Files
from .plan import Piece, pieces, share
from .remote import Large
from .tail import Tail

# Up to this length a copy costs less than a system call of its own.
SMALL_BYTES = 64 << 10
# Most bytes that are held in memory for one request, and most files in it.
JOINED_BYTES = 1 << 20
FILES = 4096

_OUR_OWN_LIMITS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


@dataclass(slots=True)
class Batch:
    """What one request carries. `told`: (file, stream, how many of its `untold` gaps are in it)."""

    small: list[bytes] = field(default_factory=list)
    large: list[Large] = field(default_factory=list)
    told: list[tuple[Tail, int, int]] = field(default_factory=list)
    joined_bytes: int = 0
    data_bytes: int = 0


def compose(files: Files, limit: int, now_s: float) -> Batch:
    """What to send next of the files that have work, with at most `limit` bytes of data."""
    batch = Batch()
    files.descriptors.pinned.clear()
    tails = [tail for tail in files.with_work if tail.stream_id >= 0]
    if len(tails) > FILES:
        tails = tails[:FILES]
    for tail, room in zip(tails, share([max(0, tail.size - tail.sent) for tail in tails], limit), strict=True):
        if batch.joined_bytes >= JOINED_BYTES or len(files.descriptors.pinned) >= files.descriptors.most_pinned:
            break
        if room or tail.untold:
            _add(batch, files, tail, room, now_s)
    return batch


def _add(batch: Batch, files: Files, tail: Tail, room: int, now_s: float) -> None:
    if not _is_open(files, tail, now_s):
        return
    if not tail.untold and room <= SMALL_BYTES:  # nearly all there is in a live run
        _add_small(batch, files, tail, tail.sent, tail.sent + room, now_s)
        return
    stream_id, gaps, has_large = tail.stream_id, 0, False
    for kind, start, end in pieces(tail.sent, tail.size, tail.untold, room):
        gaps += kind == GAP
        # Frames of one file keep their order: behind a large piece all others are sent after it.
        if has_large or (kind == DATA and end - start > SMALL_BYTES):
            has_large = True
            files.descriptors.pinned.add(tail)
            batch.large.append(_large(tail, (kind, start, end)))
            batch.data_bytes += (end - start) * (kind == DATA)
        elif kind == GAP:
            batch.small.append(pack_header(GAP, tail.stream_id, start, end - start))
        elif not _add_small(batch, files, tail, start, end, now_s):
            break
    if gaps:
        batch.told.append((tail, stream_id, gaps))


def _large(tail: Tail, piece: Piece) -> Large:
    kind, start, end = piece
    header = pack_header(kind, tail.stream_id, start, end - start)
    return (tail.fd, start, end, header) if kind == DATA else (-1, 0, 0, header)


def _add_small(batch: Batch, files: Files, tail: Tail, start: int, end: int, now_s: float) -> bool:
    """Whether all of [start, end) was there; a file that has become shorter is looked at again."""
    try:
        data = os.pread(tail.fd, end - start, start)
    except OSError as error:
        files.pass_over(tail, f"cannot be read: {error.strerror}")
        return False
    if data:
        batch.small.append(pack_header(DATA, tail.stream_id, start, len(data)))
        batch.small.append(data)
        batch.joined_bytes += len(data)
        batch.data_bytes += len(data)
    if len(data) == end - start:
        return True
    files.fell_short(tail, now_s)
    return False


def _is_open(files: Files, tail: Tail, now_s: float) -> bool:
    if tail.fd >= 0:
        return True
    try:
        if files.descriptors.open(tail):
            return True
    except OSError as error:
        if error.errno in _OUR_OWN_LIMITS:
            raise
        files.pass_over(tail, f"cannot be read: {error.strerror}")
        return False
    files.look_at_name(tail.name, now_s)
    return False
