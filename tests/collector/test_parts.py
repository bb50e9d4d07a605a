"""The pure parts, and those whose promise a whole collector shows only on a broken disk or with few descriptors."""

from __future__ import annotations

import asyncio
import bisect
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard import timeindex
from runyard.collector import cursor, query
from runyard.collector.commit import Committer
from runyard.collector.file_store import FileStore
from runyard.collector.metrics import Metrics
from runyard.collector.placement import StreamRow, merged
from runyard.collector.problems import Problem
from runyard.collector.pulse import Pulse
from runyard.collector.store import StoreError, StoreFull
from runyard.collector.streams import Stream
from tests.collector.node import Node, call, frame
from tests.collector_process import running_collector
from tests.waiting import wait_for


@given(st.lists(st.tuples(st.integers(0, 11), st.integers(1, 10**12)), max_size=40))
def test_a_cursor_tells_where_every_stream_is(moves: list[tuple[int, int]]) -> None:
    positions = cursor.Positions(b"90-95")
    expected: dict[int, int] = {}
    for stream_id in range(12):
        start = stream_id * 10 if stream_id % 3 else 0
        positions.add(stream_id, start)
        if start:
            expected[stream_id] = start
    for count, (stream_id, position) in enumerate(moves):
        text = positions.move(stream_id, position)
        expected[stream_id] = position
        parsed = cursor.parse(text.decode())
        assert parsed is not None
        assert parsed.positions == expected
        assert positions.now() == text
        if count % 7 == 6:
            positions.drop(stream_id)
            del expected[stream_id]
    parsed = cursor.parse(positions.now().decode())
    assert parsed is not None
    assert (parsed.positions, parsed.is_done(93), parsed.is_done(96)) == (expected, True, False)


@given(st.sets(st.integers(0, 60)), st.sets(st.integers(0, 60)))
def test_finished_streams_are_told_in_ranges(known: set[int], done: set[int]) -> None:
    parsed = cursor.parse(cursor.done_part(sorted(known), done & known).decode() + ";")
    assert parsed is not None
    assert {stream_id for stream_id in known if parsed.is_done(stream_id)} == done & known


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 10)).map(lambda pair: (pair[0], pair[0] + pair[1]))))
def test_merged_ranges_cover_the_same_and_do_not_touch(ranges: list[tuple[int, int]]) -> None:
    result = merged(ranges)
    assert {p for a, b in result for p in range(a, b)} == {p for a, b in ranges for p in range(a, b)}
    assert all(before[1] < after[0] for before, after in pairwise(result))


@given(st.binary(max_size=300).map(lambda data: bytes(b"\n"[0] if byte < 60 else byte for byte in data)), st.integers(0, 12))
def test_a_tail_starts_where_splitlines_says(data: bytes, lines: int) -> None:
    start = query.tail_start(lambda at, size: data[at : at + size], len(data), lines)
    split = data.split(b"\n")
    whole = [line + b"\n" for line in split[:-1]] + ([split[-1]] if split[-1] else [])
    assert data[start:] == b"".join(whole[max(0, len(whole) - lines) :])


@given(st.lists(st.integers(1, 50), min_size=1, max_size=60), st.data())
def test_index_records_are_found_wherever_one_starts(lengths: list[int], data: st.DataObject) -> None:
    ends = [sum(lengths[: count + 1]) for count in range(len(lengths))]
    raw = b"".join(timeindex.pack(end, end * 10, 0, 1) for end in ends)
    reader = query.IndexReader(lambda at, size: raw[at : at + size], lambda: len(raw))
    position = data.draw(st.integers(0, ends[-1] - 1))
    while position < ends[-1]:
        assert reader.covered(position) > position
        end = data.draw(st.integers(position + 1, ends[-1]))
        first = bisect.bisect_right(ends, position)
        last = bisect.bisect_left(ends, end)
        assert reader.records(position, end) == [(min(e, end), e * 10, 1) for e in ends[first : last + 1]]
        position = end
    since = data.draw(st.integers(0, ends[-1] * 10 + 5))
    start = query.start_since(lambda at, size: raw[at : at + size], len(raw), since)
    assert start == max([0, *[end for end in ends if end * 10 < since]])


def test_silence_is_not_counted_before_the_collector_could_hear() -> None:
    pulse = Pulse(3600)
    assert not pulse.is_lost("run", ["node"])
    assert pulse.heard_ns("run", "node") is None
    pulse.beat("run", "node")
    assert set(pulse.take_unflushed()) == {("run", "node")}
    assert pulse.take_unflushed() == {}


class BrokenDisk(FileStore):
    """A store whose disk fails to sync."""

    is_broken = True

    def sync(self, key: str) -> int:
        if self.is_broken:
            raise StoreError("the disk is broken")
        return super().sync(key)


def test_what_the_disk_refused_to_keep_is_forgotten_and_asked_for_again(tmp_path: Path) -> None:
    store = BrokenDisk(tmp_path, 16)
    store.place([("exp/run/ip/a.txt", None)])
    row = StreamRow(1, "run", "node", 0, "a.txt", 0, "", "a.txt", "ip", "exp/run/ip/a.txt", False, None, None, ())
    stream = Stream(row, 0, 0)

    def write(data: bytes) -> None:
        stream.offset += store.write(stream.key, stream.offset, memoryview(data))

    async def scene() -> None:
        committer = Committer(store, Metrics(), interval_s=0.01, limit_bytes=1 << 20)
        running = asyncio.create_task(committer.run())
        store.is_broken = False
        write(b"durable")
        await committer.wait([stream])
        store.is_broken = True
        write(b" and not")
        with pytest.raises(Problem) as refused:
            await committer.wait([stream])
        assert refused.value.status == 503
        assert (stream.offset, stream.durable) == (7, 7)
        assert (tmp_path / stream.key).read_bytes() == b"durable"
        store.is_broken = False
        write(b", again")
        await committer.wait([stream])
        assert stream.durable == stream.offset == 14
        committer.close()
        await running

    asyncio.run(scene())
    store.close()


def test_a_store_keeps_few_descriptors_open(tmp_path: Path) -> None:
    store = FileStore(tmp_path, 16)
    keys = [f"exp/run/ip/{number}" for number in range(100)]
    store.place((key, None) for key in keys)
    for turn in range(3):
        for key in keys:
            store.write(key, turn * 3, memoryview(b"abc"))
            assert store.open_descriptors <= 16
    assert {store.read(key, 0, 100) for key in keys} == {b"abcabcabc"}
    assert {store.read_ready(key, 3, 3) for key in keys} <= {b"abc", None}
    store.close()
    assert store.open_descriptors == 0


def test_a_store_says_when_a_file_may_grow_no_more(tmp_path: Path) -> None:
    store = FileStore(tmp_path, 16)
    store.place([("full", None)])
    (tmp_path / "full").unlink()
    (tmp_path / "full").symlink_to("/dev/full")
    with pytest.raises(StoreFull):
        store.write("full", 0, memoryview(b"x"))
    store.close()


def test_thousands_of_streams_need_few_descriptors(tmp_path: Path) -> None:
    with running_collector(tmp_path) as collector:
        collector.stop()
        limited = [sys.executable, "-c", _LIMITED, "--port", "0", "--data-dir", str(collector.data_dir)]
        process = subprocess.Popen(limited, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            assert process.stdout is not None
            collector.url = process.stdout.readline().partition("url=")[2].partition(" ")[0]
            node = Node(collector)
            ids = [one["id"] for one in node.open(*[f"logs/{number}.txt" for number in range(1000)])]
            for turn in range(2):
                answer = node.ingest(*[frame(stream, turn * 2, b"ab") for stream in ids], sync=True)
                assert {ack["durable"] for ack in answer.json["acks"]} == {turn * 2 + 2}
            wait_for(lambda: len(list(Path(f"/proc/{process.pid}/fd").iterdir())) < 256, "few open descriptors")
            assert len(node.followed(until="now")) == 2002
            # So many are made durable by one call for the file system they lie on.
            metrics = call(collector, "GET", "/metrics").data
            assert b'runyard_commit_seconds_count{synced="file system"} 2.0' in metrics, metrics
        finally:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


_LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
from runyard.cli import main
sys.exit(main(["collector", *sys.argv[1:]]))
"""
