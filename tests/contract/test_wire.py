"""The wire format: any sequence of frames, cut anywhere, decodes to the same; anything else is refused."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard import wire
from runyard.errors import ProtocolError

Frame = tuple[int, int, int, bytes | int]

stream_ids = st.integers(0, 2**32 - 1)
offsets = st.integers(0, 2**62)
data_frames = st.tuples(st.just(wire.DATA), stream_ids, offsets, st.binary(max_size=80))
gap_frames = st.tuples(st.just(wire.GAP), stream_ids, offsets, st.integers(0, 2**40))
frame_lists = st.lists(data_frames | gap_frames, max_size=8)


def encode(frames: list[Frame]) -> bytes:
    body = bytearray()
    for kind, stream, offset, payload in frames:
        length = payload if isinstance(payload, int) else len(payload)
        body += wire.pack_header(kind, stream, offset, length)
        body += b"" if isinstance(payload, int) else payload
    return bytes(body)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    borders = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(borders)]


def decode(chunks: list[bytes]) -> list[Frame]:
    """Frames joined again from the decoder's pieces, which have to follow each other without holes."""
    decoder = wire.FrameDecoder()
    frames: list[Frame] = []
    for chunk in chunks:
        for header, position, piece in decoder.feed(chunk):
            if position == 0:
                payload: bytes | int = header.length if header.kind == wire.GAP else b""
                frames.append((header.kind, header.stream_id, header.offset, payload))
            if header.kind == wire.DATA:
                kind, stream, offset, known = frames[-1]
                assert isinstance(known, bytes)
                assert len(known) == position
                frames[-1] = (kind, stream, offset, known + bytes(piece))
    decoder.close()
    return frames


@given(frame_lists, st.lists(st.integers(0, 4000), max_size=12))
def test_any_frames_cut_anywhere_decode_to_the_same(frames: list[Frame], places: list[int]) -> None:
    assert decode(cut(encode(frames), places)) == frames


@given(frame_lists.filter(bool), st.data())
def test_a_body_that_ends_inside_a_frame_is_torn(frames: list[Frame], data: st.DataObject) -> None:
    body = encode(frames)
    whole = {len(encode(frames[:count])) for count in range(len(frames) + 1)}
    end = data.draw(st.integers(0, len(body)).filter(lambda place: place not in whole))
    with pytest.raises(ProtocolError, match="ended"):
        decode([body[:end]])


@given(frame_lists.filter(bool), st.integers(0, wire.HEADER_BYTES * 8 - 1))
def test_a_header_with_one_flipped_bit_is_refused(frames: list[Frame], bit: int) -> None:
    body = bytearray(encode(frames))
    body[bit // 8] ^= 1 << (bit % 8)
    with pytest.raises(ProtocolError):
        decode([bytes(body)])


@given(st.binary(min_size=wire.HEADER_BYTES, max_size=200))
def test_bytes_that_are_no_frames_are_refused_and_nothing_else_is_raised(junk: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode([junk])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"kind": 3}, "unknown kind 3"),
        ({"offset": 2**63 - 1, "length": 1}, "beyond the largest offset"),
    ],
)
def test_a_header_with_a_good_checksum_and_bad_fields_is_refused(changes: dict[str, int], sentence: str) -> None:
    fields = {"kind": wire.DATA, "stream_id": 1, "offset": 0, "length": 1} | changes
    with pytest.raises(ProtocolError, match=sentence):
        wire.unpack_header(wire.pack_header(**fields))


def test_pieces_are_views_into_the_chunk_and_copy_nothing() -> None:
    chunk = wire.pack_header(wire.DATA, 1, 0, 5) + b"bytes"
    ((_, _, piece),) = list(wire.FrameDecoder().feed(chunk))
    assert piece.obj is chunk


def test_an_empty_body_is_whole() -> None:
    assert decode([]) == []
    assert decode([b""]) == []
