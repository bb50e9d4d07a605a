"""Leads the process that merges: tells it what has come, and makes what it has written visible.

Listens to the hub; reads the catalog; asks merge/worker.py in turns. Followers are woken when the run-level files have grown;
when a run has ended they are sealed like any other. The files are streams of no node, opened here. Belongs to the event loop's
thread; what it does for each growth of a stream is a look into a dictionary.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from runyard.collector.messages import Seal, Segment, StreamToOpen
from runyard.collector.placement import RUN_LEVEL
from runyard.collector.route import Parts
from runyard.collector.state import State
from runyard.collector.streams import Stream
from runyard.errors import RunyardError

from .process import MergeError, Process
from .roles import FILES, role_of
from .runs import Overview, overview, to_merge
from .talk import NodeNews, RunAnswer, RunNews, StreamNews, Tick

# Between two questions, while lines come or wait for their turn.
TICK_S = 0.25
# How often a run is looked at: clocks are measured anew, nodes end.
LOOK_S = 2.0
RETRY_S = 5.0

log = structlog.get_logger()


@dataclass(slots=True)
class _Run:
    """A run that is being merged. `dirty` are the streams that the process has to hear of."""

    run_id: str
    outputs: dict[str, Stream]
    nodes: dict[str, NodeNews] = field(default_factory=dict)
    dirty: dict[int, Stream] = field(default_factory=dict)
    is_told: bool = False
    is_anew: bool = False
    has_more: bool = False
    is_waiting: bool = False
    last_line: str | None = None
    complete_s: float | None = None
    next_look_s: float = 0.0
    not_before_s: float = 0.0

    @property
    def has_question(self) -> bool:
        return bool(self.dirty) or self.has_more or self.is_waiting or self.last_line is not None


class Feed:
    """Merges the runs that are on several nodes."""

    def __init__(self, parts: Parts, root: Path, folder: Path, wait_s: float) -> None:
        self._parts = parts
        self._wait_s = wait_s
        self._process = Process(root, folder, wait_s)
        self._folder = folder
        self._runs: dict[str, _Run] = {}
        self._to_look: dict[str, float] = {}  # and not before when
        self._troubles: dict[str, str] = {}
        self._seen: dict[str, set[str]] = {}  # nodes that have been heard of, of runs that are not merged
        self._wake = asyncio.Event()
        parts.hub.listener = self

    def grown(self, streams: set[Stream]) -> None:
        """Streams have more bytes, or a gap, or take no more."""
        if not self._runs:
            return
        for stream in streams:
            run = self._runs.get(stream.run_id)
            if run is not None and stream.node_id != RUN_LEVEL:
                run.dirty[stream.id] = stream
                self._wake.set()

    def opened(self, stream: Stream) -> None:
        """A stream is new."""
        self.grown({stream})

    def told(self, run_id: str, state: State, silent_if: tuple[str, ...]) -> None:
        """A run's state has changed, or it has a further node."""
        run = self._runs.get(run_id)
        if run is not None:
            run.next_look_s = 0.0
        elif not self._seen.setdefault(run_id, set()).issuperset(silent_if) or not silent_if:
            self._seen[run_id].update(silent_if)
            if not silent_if:
                del self._seen[run_id]
            self._to_look.setdefault(run_id, 0.0)
        else:
            return
        self._wake.set()

    def trouble_of(self, run_id: str) -> str:
        """Why the run's files are not made at present; empty where they are."""
        return self._troubles.get(run_id, "")

    async def run(self) -> None:
        """Merges until it is cancelled."""
        try:
            self._to_look |= dict.fromkeys(await self._parts.database.read(to_merge), 0.0)
            while True:
                await self._turn()
                await self._pause()
        finally:
            await self._process.close()

    async def _pause(self) -> None:
        if any(run.has_more for run in self._runs.values()):
            return
        self._wake.clear()
        if not self._runs and not self._to_look:
            await self._wake.wait()
        await asyncio.sleep(TICK_S)

    async def _turn(self) -> None:
        try:
            await self._look()
            await self._ask()
        except Exception as error:  # whatever it is, what comes in is not touched by it
            log.error("the overall logs wait", error=str(error), exc_info=not isinstance(error, RunyardError))
            await asyncio.sleep(RETRY_S)

    async def _look(self) -> None:
        now_s = time.monotonic()
        for run_id in [run_id for run_id, not_before_s in self._to_look.items() if now_s >= not_before_s]:
            try:
                await self._meet(run_id)
            except Exception as error:  # noqa: BLE001 - whatever it is, the other runs go on
                self._note(run_id, error)
                self._to_look[run_id] = time.monotonic() + RETRY_S
        for run in self._runs.values():
            if now_s >= run.next_look_s:
                run.next_look_s = now_s + LOOK_S
                found = await self._parts.database.read(overview, run.run_id)
                if found is not None:
                    self._take(run, found, now_s)

    async def _meet(self, run_id: str) -> None:
        found = await self._parts.database.read(overview, run_id)
        if found is not None and found.is_to_merge and run_id not in self._runs:
            self._runs[run_id] = await self._begin(run_id)
            self._seen.pop(run_id, None)
        del self._to_look[run_id]

    def _note(self, run_id: str, error: Exception) -> None:
        self._troubles[run_id] = str(error)
        log.error("the overall logs of a run wait", run=run_id, error=str(error), exc_info=not isinstance(error, RunyardError))

    async def _begin(self, run_id: str) -> _Run:
        parts = self._parts
        wanted = [StreamToOpen(name=name, generation=0, source_id="") for name in FILES.values()]
        opened = await parts.streams.open(run_id, RUN_LEVEL, 0, wanted)
        run = _Run(run_id, dict(zip(FILES, opened.streams, strict=True)))
        for stream in opened.new:
            parts.hub.opened(stream)
        await self._take_all(run)
        return run

    async def _take_all(self, run: _Run) -> None:
        streams = await self._parts.streams.of_run(run.run_id)
        run.dirty = {stream.id: stream for stream in streams if stream.node_id != RUN_LEVEL}

    def _take(self, run: _Run, found: Overview, now_s: float) -> None:
        run.nodes = found.nodes
        run.complete_s = (run.complete_s or now_s) if found.is_complete else None
        if run.complete_s is None:
            run.last_line = None
        elif len(found.nodes) >= found.node_count or now_s - run.complete_s >= self._wait_s:
            # A node that was announced and never came is waited for a little: it may have been on its way.
            run.last_line = found.last_line

    async def _ask(self) -> None:
        now_s = time.monotonic()
        asked = [run for run in self._runs.values() if run.has_question and run.nodes and now_s >= run.not_before_s]
        if not asked:
            return
        try:
            for run in asked:
                if not self._process.is_running:
                    run.is_told = False
                if not run.is_told:
                    await self._take_all(run)
            if not self._process.is_running:
                for run in self._runs.values():
                    run.is_told = False
            answers = await self._process.ask(Tick(time.time_ns(), [self._question(run) for run in asked]))
        except RunyardError as error:
            for run in self._runs.values():
                run.is_told = False
                self._troubles[run.run_id] = str(error)
            raise
        for run, answer in zip(asked, answers.runs, strict=True):
            try:
                await self._hear(run, answer)
            except Exception as error:  # noqa: BLE001 - whatever it is, the other runs go on
                self._put_off(run, error)

    def _question(self, run: _Run) -> RunNews:
        heard_ns = self._parts.pulse.heard_ns
        known = [stream for stream in run.dirty.values() if stream.node_id in run.nodes]
        run.dirty = {number: stream for number, stream in run.dirty.items() if stream.node_id not in run.nodes}
        if run.dirty:
            run.next_look_s = 0.0
        news = RunNews(
            run.run_id,
            outputs={} if run.is_told else {kind: stream.key for kind, stream in run.outputs.items()},
            streams=[_news(stream) for stream in known if role_of(stream.row.name) is not None],
            nodes=[
                NodeNews(node.node_id, node.folder, heard_ns(run.run_id, node.node_id) or 0, node.offset_ns, node.error_ns,
                         node.is_over)
                for node in run.nodes.values()
            ],
            last_line=None if run.dirty else run.last_line,
            is_anew=run.is_anew,
        )  # fmt: skip
        run.is_told, run.is_anew = True, False
        return news

    async def _hear(self, run: _Run, answer: RunAnswer) -> None:
        run.has_more, run.is_waiting = answer.has_more, answer.is_waiting
        if answer.error:
            raise MergeError(answer.error)
        grown = set()
        for kind, size in answer.sizes.items():
            stream = run.outputs[kind]
            if stream.offset != size and not stream.closed:
                stream.offset = size
                grown.add(stream)
        if grown:
            self._parts.hub.grown(grown)
        if answer.is_over:
            await self._seal(run)
        self._troubles.pop(run.run_id, None)

    def _put_off(self, run: _Run, error: Exception) -> None:
        """It is told of from the start, in a while."""
        self._note(run.run_id, error)
        run.is_told, run.is_waiting = False, True
        run.not_before_s = time.monotonic() + RETRY_S

    async def _seal(self, run: _Run) -> None:
        """The run's files are whole: they are sealed, all at once."""
        parts = self._parts
        pairs = []
        for stream in run.outputs.values():
            digests = await parts.digester.digest(parts.store, stream.key, [(0, stream.offset)])
            whole = Segment(start=0, end=stream.offset, sha256=digests.whole if digests else "")
            pairs.append((stream, Seal(stream=stream.id, length=stream.offset, segments=[whole])))
        results = await parts.sealer.seal(pairs)
        if all(result.result == "sealed" for result in results):
            del self._runs[run.run_id]
            (self._folder / f"{run.run_id}.journal").unlink(missing_ok=True)
            return
        run.is_anew = True
        raise MergeError("they are not what was written, and are made anew")


def _news(stream: Stream) -> StreamNews:
    row = stream.row
    return StreamNews(
        row.id, row.node_id, row.name, row.attempt, row.generation, stream.key, stream.offset, bool(stream.closed), stream.gaps
    )
