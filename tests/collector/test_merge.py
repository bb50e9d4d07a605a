"""The merge against a model: random nodes, clocks, arrivals, stalls and deaths, and every line is there once and in order."""

from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from runyard import labels, names, timeindex
from runyard.collector.file_store import FileStore
from runyard.collector.merge.journal import Journal
from runyard.collector.merge.merger import Merger
from runyard.collector.merge.roles import FILES
from runyard.collector.merge.talk import NodeNews, RunNews, StreamNews

S = 10**9
BEGUN_NS = 1_800_000_000 * S
WAIT_NS = 5 * S
OUTPUTS = {kind: f"exp/run/{name}" for kind, name in FILES.items()}


class Rank:
    """A process whose bytes come in whatever portions the test chooses. `order` are the times of its lines, as they end."""

    def __init__(self, world: World, number: int) -> None:
        self.world, self.number = world, number
        self.node = f"node-{number % world.nodes}"
        self.offset_ns = world.offsets[number % world.nodes]
        self.name = names.driver_log(number, 100)
        self.written = {timeindex.STDOUT: b"", timeindex.STDERR: b""}
        self.log, self.index = b"", b""
        self.sent = [0, 0]
        self.is_sealed = False
        self.gaps: list[tuple[int, int]] = []

    def write(self, text: bytes, source: int) -> None:
        at_ns = self.world.now_ns
        self.log += text
        self.written[source] += text
        self.index += timeindex.pack(len(self.log), at_ns + 300 * S, at_ns - self.offset_ns, source)

    def drop(self, length: int) -> None:
        self.gaps.append((len(self.log), len(self.log) + length))
        self.write(bytes(length), timeindex.STDOUT)

    def send(self, log_bytes: int, index_bytes: int) -> None:
        self.sent = [min(len(self.log), self.sent[0] + log_bytes), min(len(self.index), self.sent[1] + index_bytes)]
        if any(start < self.sent[0] < end for start, end in self.gaps):
            self.sent[0] = next(end for start, end in self.gaps if start < self.sent[0] < end)

    def news(self) -> list[StreamNews]:
        gaps = [gap for gap in self.gaps if gap[1] <= self.sent[0]]
        found = []
        whole = self.sent == [len(self.log), len(self.index)]
        for half, (name, data) in enumerate(((self.name, self.log), (names.index_of(self.name), self.index))):
            key = f"exp/run/{self.node}/{name}"
            path = Path(self.world.store.path(key))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data[: self.sent[half]])
            found.append(
                StreamNews(2 * self.number + half, self.node, name, 0, 0, key, self.sent[half], self.is_sealed and whole,
                           [] if half else gaps)
            )  # fmt: skip
        return found


class World:
    """A run, its nodes, and the merger, which may die."""

    def __init__(self, folder: Path, nodes: int, ranks: int, offsets: list[int]) -> None:
        self.store = FileStore(folder / "runs", 16)
        (folder / "runs/exp/run/logs/azureml").mkdir(parents=True)
        (folder / "runs/exp/run/azureml-logs").mkdir()
        for key in OUTPUTS.values():
            Path(self.store.path(key)).touch()
        self.journal_path = folder / "run.journal"
        self.nodes, self.offsets = nodes, offsets
        self.now_ns = BEGUN_NS
        self.heard = [BEGUN_NS] * nodes
        self.ranks = [Rank(self, number) for number in range(ranks)]
        self.begin()

    def begin(self) -> None:
        journal = Journal(self.journal_path)
        if not journal.load():
            journal.begin(OUTPUTS)
        journal.cut(self.store)
        self.merger = Merger(self.store, journal, WAIT_NS, self.now_ns)

    def merge(self, last_line: str | None = None) -> None:
        nodes = [
            NodeNews(f"node-{n}", f"10.0.0.{n}", self.heard[n], self.offsets[n], 0, False) for n in range(self.nodes)
        ]  # fmt: skip
        streams = [news for rank in self.ranks for news in rank.news() if news.offset]
        self.merger.take(RunNews("run", OUTPUTS, streams, nodes, last_line), self.now_ns)
        while self.merger.step(self.now_ns):
            pass

    def kill(self, torn: bytes) -> None:
        """The merger dies after it has written lines that its journal does not tell of."""
        for key in (OUTPUTS["out"], OUTPUTS["err"]):
            with Path(self.store.path(key)).open("ab") as file:
                file.write(torn)
        self.store.close()
        self.begin()

    def lines(self, kind: str) -> list[labels.Line]:
        data = Path(self.store.path(OUTPUTS[kind])).read_bytes()
        assert not data or data.endswith(b"\n")
        return [labels.split(line + b"\n") for line in data.split(b"\n")[:-1]]


texts = st.one_of(
    st.lists(st.binary(max_size=12).map(lambda b: b.replace(b"\n", b"") + b"\n"), min_size=1, max_size=4).map(b"".join),
    st.binary(min_size=1, max_size=20),
    st.sampled_from([b"10%\r20%\r\n", b"\n\n", b"[10.0.0.1 rank 3 late] x\n", b"\xff\x00\n", b"x" * 300_000, b"no end"]),
)
actions = st.one_of(
    st.tuples(st.just("write"), st.integers(0, 99), texts, st.sampled_from([timeindex.STDOUT, timeindex.STDERR])),
    st.tuples(st.just("send"), st.integers(0, 99), st.sampled_from([1, 5, 40, 10**7]), st.sampled_from([7, 32, 96, 10**7])),
    st.tuples(st.just("drop"), st.integers(0, 99), st.integers(1, 50)),
    st.tuples(st.just("pass"), st.sampled_from([1, 1000, S // 10, S, 7 * S])),
    st.tuples(st.just("hear"), st.integers(0, 99)),
    st.tuples(st.just("merge")),
    st.tuples(st.just("kill"), st.sampled_from([b"", b"[10.0.0.0 rank 0] torn", b"torn\n"])),
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    nodes=st.integers(1, 3),
    ranks=st.integers(1, 5),
    offsets=st.lists(st.sampled_from([0, BEGUN_NS - 7 * S, BEGUN_NS - 90_000 * S]), min_size=3, max_size=3),
    plan=st.lists(actions, max_size=60),
)
# A gap at a stream's beginning has the time of what was dropped.
@example(1, 3, [0, 0, 0], [("write", 0, b"x", 1), ("drop", 2, 1), ("write", 2, b"\n", 1), ("write", 0, b"\n", 1)])
# A gap is known before the index records of its bytes are there.
@example(
    1, 1, [0, 0, 0],
    [("write", 0, b"\n", 1), ("send", 0, 1, 32), ("write", 0, b"\n", 1), ("drop", 0, 1), ("drop", 0, 1),
     ("write", 0, b"\n\n\n", 1), ("send", 0, 5, 32), ("merge",)],
)  # fmt: skip
def test_every_line_is_there_once_in_its_streams_order_and_late_ones_are_marked(
    nodes: int, ranks: int, offsets: list[int], plan: list[tuple[object, ...]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), nodes, ranks, offsets)
        for action in plan:
            _act(world, action)
        for rank in world.ranks:
            rank.send(10**9, 10**9)
            rank.is_sealed = True
        world.now_ns += S
        world.merge('{"process_name":"*"}')
        assert world.merger.is_over
        _check(world)


def _act(world: World, action: tuple[object, ...]) -> None:
    match action:
        case ("write", int(n), bytes(text), int(source)):
            world.now_ns += 1
            world.ranks[n % len(world.ranks)].write(text, source)
        case ("drop", int(n), int(length)):
            world.ranks[n % len(world.ranks)].drop(length)
        case ("send", int(n), int(log_bytes), int(index_bytes)):
            world.ranks[n % len(world.ranks)].send(log_bytes, index_bytes)
        case ("pass", int(ns)):
            world.now_ns += ns
        case ("hear", int(n)):
            world.heard[n % world.nodes] = world.now_ns
        case ("merge",):
            world.merge()
        case ("kill", bytes(torn)):
            world.kill(torn)


def _check(world: World) -> None:
    for kind, source in (("out", timeindex.STDOUT), ("err", timeindex.STDERR)):
        found: dict[str, bytes] = {}
        for line in world.lines(kind):
            found[line.origin.what] = found.get(line.origin.what, b"") + line.data
        expected = {f"rank {rank.number}": rank.written[source] for rank in world.ranks if rank.written[source]}
        assert found == expected
        _check_times(world, kind, source)
    assert Path(world.store.path(OUTPUTS["status"])).read_bytes() == b'{"process_name":"*"}\n'


def _check_times(world: World, kind: str, source: int) -> None:
    """Whole lines that are not late stand in the order of the times at which they ended."""
    ends = {f"rank {rank.number}": _line_ends(rank, source) for rank in world.ranks}
    positions = dict.fromkeys(ends, 0)
    told = []
    for line in world.lines(kind):
        what = line.origin.what
        positions[what] += len(line.data)
        at_ns = ends[what].get(positions[what])
        if line.data.endswith(b"\n") and at_ns is not None and not line.is_late:
            told.append(at_ns)
    assert all(earlier <= later for earlier, later in pairwise(told))


def _line_ends(rank: Rank, source: int) -> dict[int, int]:
    """For each offset in what went to `source`, when the byte before it was written."""
    ends: dict[int, int] = {}
    position, start = 0, 0
    for record in timeindex.unpack(rank.index):
        if record.source == source:
            at_ns = record.mono_ns + rank.offset_ns
            for offset in range(record.end - start):
                if rank.log[start + offset] == 10:
                    ends[position + offset + 1] = at_ns
            position += record.end - start
        start = record.end
    return ends


def test_a_line_that_had_begun_when_the_merger_died_is_whole_and_what_overtook_it_is_not_there_twice(tmp_path: Path) -> None:
    world = World(tmp_path, 1, 1, [0])
    (rank,) = world.ranks
    rank.write(b"half of ", timeindex.STDOUT)
    rank.write(b"a warning\n", timeindex.STDERR)
    rank.send(10**9, 10**9)
    world.now_ns += 20 * S
    world.heard = [world.now_ns]
    world.merge()
    assert [line.data for line in world.lines("err")] == [b"a warning\n"]
    world.kill(b"torn")
    rank.write(b"a line\n", timeindex.STDOUT)
    rank.send(10**9, 10**9)
    rank.is_sealed = True
    world.merge("")
    assert [line.data for line in world.lines("out")] == [b"half of a line\n"]
    assert [line.data for line in world.lines("err")] == [b"a warning\n"]
