"""Whoever is killed while lines are written to an overall log: each of them is there once."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from runyard import names, timeindex
from runyard.collector.merge.journal import Journal
from tests.collector.small_disk import fill, mounted
from tests.collector.test_completeness import merge_worker
from tests.collector.test_run_level import Rank, end, put_clock, run_level, streams_of, two_nodes
from tests.collector_process import CollectorProcess, running_collector
from tests.waiting import wait_for

S = 10**9
CUT = "the end of a run's overall logs is merged again"
KILLS = 4


class Training:
    """A run on two nodes with a rank each, whose clocks are right."""

    def __init__(self, collector: CollectorProcess, experiment: str = "exp") -> None:
        self.collector = collector
        self.nodes = two_nodes(collector, experiment)
        for node in self.nodes:
            put_clock(node, 0)
        self.ranks = [Rank(node, rank, offset_ns=0) for rank, node in enumerate(self.nodes)]
        self.at_ns = time.time_ns() - 600 * S
        self.count = 0

    @property
    def run_id(self) -> str:
        return self.nodes[0].run_id

    def print(self, lines: int) -> None:
        """Each rank prints so many lines to stdout, and a few to stderr."""
        for rank in self.ranks:
            self.at_ns += S // 1000
            rank.write(
                b"".join(b"line %07d and what else there is to say of it\n" % (self.count + n) for n in range(lines)),
                self.at_ns,
            )
            rank.write(b"warning %d\n" % self.count, self.at_ns + 1, timeindex.STDERR)
        self.count += lines

    def restarted(self) -> None:
        """The collector has been started again."""
        for node in self.nodes:
            node.client = self.collector.client()

    @property
    def written_bytes(self) -> int:
        """How long the overall logs are on the disk."""
        return sum(len(run_level(self.nodes[0], name)) for name in (names.STDOUT_LOGS, names.STDERR_LOGS))

    def is_longer_than(self, size: int) -> bool:
        """Whether something was written since."""
        return self.written_bytes > size

    @property
    def told_bytes(self) -> int:
        """How long they are by the journal."""
        journal = Journal(self.collector.data_dir / "merge" / f"{self.run_id}.journal")
        journal.load()
        return sum(journal.state.outputs[kind].size for kind in ("out", "err"))

    def all_is_there_once(self) -> None:
        """Ends it and compares each stream of the overall logs with what its rank has printed."""
        for rank in self.ranks:
            rank.seal()
        end(*self.nodes)
        for name, source in ((names.STDOUT_LOGS, timeindex.STDOUT), (names.STDERR_LOGS, timeindex.STDERR)):
            found = streams_of(run_level(self.nodes[0], name))
            for number, rank in enumerate(self.ranks):
                assert found[f"rank {number}"] == rank.of_source(source), f"rank {number} in {name}"


def kill_as_it_grows(training: Training, *, with_collector: bool) -> None:
    """Kills the process that merges while the overall log grows."""
    worker, before = merge_worker(training.collector), training.written_bytes
    training.print(5_000)
    wait_for(partial(training.is_longer_than, before), "the overall log grows")
    os.kill(worker, signal.SIGKILL)
    if with_collector:
        training.collector.kill()


@pytest.mark.row("A15")
def test_lines_are_there_once_whoever_is_killed_while_they_are_merged(collector: CollectorProcess) -> None:
    training = Training(collector)
    training.print(10)
    wait_for(lambda: training.written_bytes, "something is merged")
    for number in range(KILLS):
        with_collector = number % 2 == 0
        kill_as_it_grows(training, with_collector=with_collector)
        if with_collector:
            untold_bytes, logged = training.written_bytes - training.told_bytes, collector.log_text.count(CUT)
            collector.restart()
            training.restarted()
            assert collector.log_text.count(CUT) - logged == (untold_bytes > 0)
        training.print(10)
        wait_for(partial(training.is_longer_than, training.written_bytes), "it is merged again")
    training.all_is_there_once()


@contextmanager
def crowded_collector(folder: Path) -> Iterator[CollectorProcess]:
    """A collector whose journals of what is merged lie on a disk that is full, but for the page that each has begun."""
    (folder / "collector").mkdir()
    with mounted(folder / "collector" / "merge"), running_collector(folder) as collector:
        yield collector


@pytest.mark.needs_system("mount")
@pytest.mark.parametrize("with_collector", [True, False])
def test_lines_that_were_written_and_not_noted_are_there_once_whoever_is_killed(tmp_path: Path, with_collector: bool) -> None:
    with crowded_collector(tmp_path) as collector:
        training = Training(collector, experiment="long-" * 20)
        training.print(1)
        wait_for(lambda: training.written_bytes, "something is merged")
        ballast = fill(collector.data_dir / "merge")

        def prints_untold() -> bool:
            training.print(1)
            return training.written_bytes > training.told_bytes and "No space left" in collector.log_text

        wait_for(prints_untold, "lines that no journal tells of")
        os.kill(merge_worker(collector), signal.SIGKILL)
        if with_collector:
            collector.kill()
            untold_bytes = training.written_bytes - training.told_bytes
            assert untold_bytes > 0
        ballast.unlink()
        if with_collector:
            collector.restart()
            training.restarted()
            (cut,) = [json.loads(line) for line in collector.log_text.splitlines() if CUT in line]
            assert (cut["run"], cut["bytes"]) == (training.run_id, untold_bytes)
        training.print(1)
        training.all_is_there_once()
