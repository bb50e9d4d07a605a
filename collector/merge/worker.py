"""The process that merges: `python -m runyard.collector.merge.worker ROOT FOLDER WAIT_S`, started by the collector.

Reads questions from stdin and answers on stdout (talk.py), a line each; reads and writes below ROOT, the streams' folder, and
journals below FOLDER. It is a process of its own, with less right to the CPU, so that merging never delays what comes in.
It ends with the collector. Killed, it costs nothing: the journals tell where to go on.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import sys
import time
from pathlib import Path

import msgspec
import structlog

from runyard.collector import log_lines
from runyard.collector.file_store import FileStore
from runyard.errors import RunyardError

from .journal import Journal
from .merger import Merger
from .talk import Answers, RunAnswer, RunNews, Tick

# Longest time for an answer, more or less.
SLICE_S = 0.5
NICENESS = 5
OPEN_FILES = 256
_PR_SET_PDEATHSIG = 1


class Worker:
    """The runs that are being merged."""

    def __init__(self, root: Path, folder: Path, wait_ns: int) -> None:
        self._store = FileStore(root, OPEN_FILES)
        self._folder = folder
        self._wait_ns = wait_ns
        self._mergers: dict[str, Merger] = {}

    def answer(self, tick: Tick) -> Answers:
        """Merges what can be merged by now, each run in its turn."""
        answers = []
        for news in tick.runs:
            try:
                answers.append(self._merge(news, tick.now_ns, SLICE_S / len(tick.runs)))
            except (RunyardError, OSError) as error:
                # What is in memory may be ahead of the journal: the run is told of from the start again.
                self._mergers.pop(news.run_id, None)
                answers.append(RunAnswer(news.run_id, error=str(error)))
        return Answers(answers)

    def _merge(self, news: RunNews, now_ns: int, slice_s: float) -> RunAnswer:
        if news.outputs:
            self._mergers[news.run_id] = self._begin(news, now_ns)
        merger = self._mergers.get(news.run_id)
        if merger is None:
            return RunAnswer(news.run_id, error="nothing is known of it")
        merger.take(news, now_ns)
        end_s = time.monotonic() + slice_s
        has_more = not merger.is_over
        while has_more:
            has_more = merger.step(now_ns)
            if time.monotonic() > end_s:
                break
        answer = RunAnswer(news.run_id, merger.sizes, has_more, merger.is_waiting, merger.is_over)
        if merger.is_over:
            del self._mergers[news.run_id]
        return answer

    def _begin(self, news: RunNews, now_ns: int) -> Merger:
        journal = Journal(self._folder / f"{news.run_id}.journal")
        if news.is_anew or not journal.load() or {o.key for o in journal.state.outputs.values()} != {*news.outputs.values()}:
            journal.begin(news.outputs)
        journal.cut(self._store)
        for output in journal.state.outputs.values():
            self._store.forget(output.key)
        return Merger(self._store, journal, self._wait_ns, now_ns)


def main(arguments: list[str]) -> int:
    """Answers until the collector has gone."""
    root, folder, wait_s = arguments
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the collector, which tells us by closing our stdin
    os.nice(NICENESS)
    lock = os.open(Path(folder, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    worker = Worker(Path(root), Path(folder), int(float(wait_s) * 1e9))
    log_lines.configure("info")
    try:
        _answer_all(worker)
    except Exception as error:  # noqa: BLE001 - the collector starts another one; what this one knew may be what has led to it
        structlog.get_logger().error("the process that merges has failed", exc_info=error)
        return 1
    return 0


def _answer_all(worker: Worker) -> None:
    for line in sys.stdin.buffer:
        answers = worker.answer(msgspec.json.decode(line, type=Tick))
        sys.stdout.buffer.write(msgspec.json.encode(answers) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
