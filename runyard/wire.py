"""The binary body of an ingest request: a sequence of frames, each a fixed header and then raw bytes.

    magic      2   b"RY"
    version    u8  PROTOCOL_VERSION
    kind       u8  1 DATA: `length` raw bytes follow; 2 GAP: none follow, the node has dropped [offset, offset+length)
    stream_id  u32 as the collector gave it when the stream was opened
    offset     u64 of the first byte in the stream
    length     u64
    crc32      u32 of the 24 bytes before it

Big endian. The header carries a checksum since a wrong one would put bytes into the wrong place; the payload carries none:
TCP covers the way, and the seal's SHA-256 covers the whole stream from disk to disk.
Pure: no IO here. Standard library only.
"""

from __future__ import annotations

import struct
import zlib
from collections import namedtuple
from collections.abc import Iterator

from .errors import ProtocolError

PROTOCOL_VERSION = 1
MAGIC = b"RY"
DATA = 1
GAP = 2

_FIELDS = struct.Struct(">2sBBIQQ")
_HEADER = struct.Struct(">2sBBIQQI")
HEADER_BYTES = _HEADER.size
_FIELDS_BYTES = _FIELDS.size

MAX_OFFSET = 2**63 - 1

FrameHeader = namedtuple("FrameHeader", ["kind", "stream_id", "offset", "length"])


def pack_header(kind: int, stream_id: int, offset: int, length: int) -> bytes:
    """A frame's header as it goes over the wire."""
    fields = _FIELDS.pack(MAGIC, PROTOCOL_VERSION, kind, stream_id, offset, length)
    return _HEADER.pack(MAGIC, PROTOCOL_VERSION, kind, stream_id, offset, length, zlib.crc32(fields))


def unpack_header(data: bytes | bytearray | memoryview) -> FrameHeader:
    """The header in the first HEADER_BYTES of `data`; ProtocolError where it is not one."""
    magic, version, kind, stream_id, offset, length, crc = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise ProtocolError(f"a frame starts with {magic!r}, not with {MAGIC!r}")
    if crc != zlib.crc32(memoryview(data)[:_FIELDS_BYTES]):
        raise ProtocolError("a frame's header does not match its checksum")
    if version != PROTOCOL_VERSION:
        raise ProtocolError(f"a frame has protocol version {version}; this side speaks {PROTOCOL_VERSION}")
    if kind not in (DATA, GAP):
        raise ProtocolError(f"a frame has the unknown kind {kind}")
    if offset + length > MAX_OFFSET:
        raise ProtocolError(f"a frame ends at {offset + length}, beyond the largest offset {MAX_OFFSET}")
    return FrameHeader(kind, stream_id, offset, length)


class FrameDecoder:
    """Turns chunks of a body, cut anywhere, into pieces of frames, without joining or copying payloads.

    `feed(chunk)` yields (header, position, piece): `piece` is a view into `chunk`, valid until the next call, and holds the
    bytes at stream offset `header.offset + position`. A frame without payload (GAP, or length 0) yields once with an empty
    piece. `close()` raises ProtocolError where the body ended inside a frame.
    """

    def __init__(self) -> None:
        self._head = bytearray()
        self._frame: FrameHeader | None = None
        self._position = 0

    def feed(self, chunk: bytes | bytearray | memoryview) -> Iterator[tuple[FrameHeader, int, memoryview]]:
        view = memoryview(chunk)
        while view:
            if self._frame is None:
                view = self._take_header(view)
                if self._frame is None:
                    return
                if self._frame.kind == GAP or not self._frame.length:
                    frame, self._frame = self._frame, None
                    yield frame, 0, view[:0]
                continue
            frame, position = self._frame, self._position
            piece = view[: frame.length - position]
            view = view[len(piece) :]
            self._position += len(piece)
            if self._position == frame.length:
                self._frame = None
            yield frame, position, piece

    def _take_header(self, view: memoryview) -> memoryview:
        if not self._head and len(view) >= HEADER_BYTES:  # whole, as nearly always
            self._frame, self._position = unpack_header(view), 0
            return view[HEADER_BYTES:]
        missing = HEADER_BYTES - len(self._head)
        self._head += view[:missing]
        if len(self._head) == HEADER_BYTES:
            self._frame, self._position = unpack_header(bytes(self._head)), 0
            self._head.clear()
        return view[missing:]

    def close(self) -> None:
        """Says that the body has ended."""
        if self._frame is not None:
            raise ProtocolError(f"the body ended {self._frame.length - self._position} bytes before the end of its last frame")
        if self._head:
            raise ProtocolError(f"the body ended after {len(self._head)} of a header's {HEADER_BYTES} bytes")
