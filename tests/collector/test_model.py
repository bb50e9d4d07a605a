"""Whatever frames are sent, in whatever order and cut wherever, a stream is what the model says.

The model: bytes that start at or before the end extend it where they reach beyond, those behind it are refused, a gap blanks.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runyard import wire
from tests.collector.node import Node, data_of, frame, gap_frame
from tests.collector_process import CollectorProcess

STREAMS = 3

# (stream, start relative to the model's end, length, is a gap)
frames = st.tuples(
    st.integers(0, STREAMS - 1),
    st.one_of(st.just(0), st.integers(-40, 4)),
    st.one_of(st.integers(0, 40), st.integers(60_000, 70_000)),
    st.sampled_from([False] * 5 + [True]),
)
# (frames, bytes cut off at the end, whether to wait for durability)
requests = st.tuples(st.lists(frames, max_size=8), st.one_of(st.just(0), st.integers(0, 90)), st.booleans())


Frame = tuple[int, int, int, bool]
Request = tuple[list[Frame], int, bool]
Bound = tuple[int, int, int, int, bytes, bool]  # where in the body, stream, start, length, payload, is a gap


@dataclass
class Model:
    """What the collector has to hold."""

    streams: list[bytearray] = field(default_factory=lambda: [bytearray() for _ in range(STREAMS)])
    gaps: list[set[int]] = field(default_factory=lambda: [set() for _ in range(STREAMS)])

    def data(self, number: int, start: int, payload: bytes) -> bool:
        """Takes bytes; False where they leave a hole."""
        held = self.streams[number]
        if start > len(held):
            return False
        held += payload[len(held) - start :]
        return True

    def gap(self, number: int, start: int, length: int) -> bool:
        """Takes a gap; False where it leaves a hole."""
        held = self.streams[number]
        if start > len(held):
            return False
        if length:
            held[start : start + length] = bytes(length)
            self.gaps[number].update(range(start, start + length))
        return True


def content(number: int, start: int, length: int) -> bytes:
    """What the node's file holds there: always the same."""
    return bytes((number * 7 + position) % 251 + 1 for position in range(start, start + length))


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sent=st.lists(requests, min_size=1, max_size=6))
def test_streams_are_what_the_model_says(collector: CollectorProcess, sent: list[Request]) -> None:
    node = Node(collector)
    ids = [one["id"] for one in node.open(*[f"logs/{number}.txt" for number in range(STREAMS)])]
    model = Model()
    for asked, cut, sync in sent:
        body, expected = _body_and_expected(model, ids, asked, cut)
        answer = node.ingest(body, sync=sync)
        assert (answer.status, answer.json.get("code", "")) == expected
        for ack in answer.json["acks"]:
            assert ack["offset"] == len(model.streams[ids.index(ack["id"])])
            assert not (sync and answer.status == 200) or ack["durable"] == ack["offset"]
    for number, stream in enumerate(ids):
        name = f"logs/{number}.txt"
        assert node.on_disk(name) == model.streams[number]
        assert data_of(node.followed(until="now", file=name), stream) == model.streams[number]
        files = node.client.json("GET", f"/runs/{node.run_id}/files", params={"prefix": name})["files"]
        assert {position for start, end in files[0]["gaps"] for position in range(start, end)} == model.gaps[number]


def _body_and_expected(model: Model, ids: list[int], asked: list[Frame], cut: int) -> tuple[bytes, tuple[int, str]]:
    """Makes the body, lets the model take it, and tells the status and the code that have to be answered."""
    body = b""
    bounds: list[Bound] = []
    ends = [len(held) for held in model.streams]
    for number, relative, length, is_gap in asked:
        start = max(0, ends[number] + relative)
        payload = b"" if is_gap else content(number, start, length)
        one = gap_frame(ids[number], start, start + length) if is_gap else frame(ids[number], start, payload)
        bounds.append((len(body), number, start, length, payload, is_gap))
        body += one
        ends[number] = max(ends[number], start + length)
    body = body[: max(0, len(body) - cut)]
    for at, number, start, length, payload, is_gap in bounds:
        came = len(body) - at - wire.HEADER_BYTES
        if came < 0:
            break
        if is_gap:
            is_taken = model.gap(number, start, length)
        elif not came and length:
            break
        else:
            is_taken = model.data(number, start, payload[:came])
        if not is_taken:
            return body, (409, "gap")
        if came < (0 if is_gap else length):
            return body, (400, "torn")
    whole = [at for at, *_ in bounds if at <= len(body)] + [0]
    is_torn = bool(bounds) and len(body) not in {*whole, *_ends(bounds)}
    return body, (400, "torn") if is_torn else (200, "")


def _ends(bounds: list[Bound]) -> list[int]:
    """Where the frames end in the body."""
    return [at + wire.HEADER_BYTES + len(payload) for at, _, _, _, payload, _ in bounds]
