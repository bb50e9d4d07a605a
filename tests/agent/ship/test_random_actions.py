"""Whatever is done to the files, and whoever is killed meanwhile: in the end the collector holds what the node has.

An interpreter of random actions, against a model of what each name has ever held: the current copy is the file, and no copy
of an earlier generation holds a byte that the name did not hold at that offset.
"""

from __future__ import annotations

import itertools
import signal
import subprocess
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runyard.names import split_superseded
from tests.collector_process import CollectorProcess, running_collector
from tests.waiting import wait_for

from .spool_builder import SpoolRun, copies, start_ship, verify

NAMES = ("azureml-logs/70_driver_log.txt", "logs/a", "logs/deep/b", "outputs/o")
FILE_ACTIONS = ("append", "truncate", "rewrite", "replace", "rotate", "remove")

Action = tuple[str, str, int]
ACTIONS = st.one_of(
    st.tuples(st.sampled_from(FILE_ACTIONS), st.sampled_from(NAMES), st.integers(1, 5000)),
    st.just(("caught up", "", 0)),
    st.tuples(st.sampled_from(("kill shipper", "kill collector", "restart collector")), st.just(""), st.just(0)),
)


class Interpreter:
    """Does the actions and keeps, for each name, every content that it has had."""

    def __init__(self, collector: CollectorProcess, spool: Path, run_id: str) -> None:
        self._collector = collector
        self._spool = spool
        self._run = SpoolRun(spool, run_id)
        self._run.start()
        self._number = 0
        self._held: dict[str, list[bytes]] = {}
        self._watcher: subprocess.Popen[str] | None = None
        self._start_shipper()

    def do(self, action: Action) -> None:
        kind, name, size = action
        if kind in FILE_ACTIONS:
            getattr(self, kind)(name, self._fresh(size))
        elif kind == "caught up" and self._collector.is_running:
            wait_for(self._has_caught_up, "caught up", limit_s=30)
        elif kind == "kill shipper":
            self._kill_shipper()
            self._start_shipper()
        elif kind == "kill collector":
            self._collector.kill()
        elif kind == "restart collector" and not self._collector.is_running:
            self._collector.restart()

    def append(self, name: str, data: bytes) -> None:
        self._run.append(name, data)
        self._note(name)

    def truncate(self, name: str, data: bytes) -> None:
        self._run.write(name, data[: len(data) // 3])
        self._note(name)

    def rewrite(self, name: str, data: bytes) -> None:
        self._run.write(name, data)
        self._note(name)

    def replace(self, name: str, data: bytes) -> None:
        self._run.path(name).parent.mkdir(parents=True, exist_ok=True)
        self._run.replace(name, data)
        self._note(name)

    def rotate(self, name: str, data: bytes) -> None:
        if self._run.path(name).exists():
            self._run.path(name).rename(self._run.path(f"{name}.1"))
            self._note(f"{name}.1")
        self.append(name, data)

    def remove(self, name: str, data: bytes) -> None:
        self._run.path(name).unlink(missing_ok=True)

    def finish(self) -> None:
        """End the run and compare."""
        if not self._collector.is_running:
            self._collector.restart()
        self._run.end()
        wait_for(self._run.shipped, "all shipped", limit_s=60)
        self._kill_shipper()
        there = {name: self._run.path(name).read_bytes() for name in self._held if self._run.path(name).exists()}
        held = copies(self._collector, self._run.run_id)
        assert {name: held.get(name) for name in there} == there
        results = verify(self._collector, self._run.run_id)
        assert all(results[name] == "ok" for name in there), results
        for name, copy in held.items():
            self._check_past(name, copy)

    def close(self) -> None:
        self._kill_shipper()
        self._run.close()

    def _check_past(self, name: str, copy: bytes) -> None:
        earlier = split_superseded(name)
        past = self._held[earlier[0] if earlier else name]
        for offset, byte in enumerate(copy):
            assert any(len(content) > offset and content[offset] == byte for content in past), (name, offset)

    def _fresh(self, size: int) -> bytes:
        """Bytes by which each place of each action is told from every other."""
        self._number += 1
        return b"".join(b"<%d.%d>" % (self._number, position) for position in range(size // 8 + 1))

    def _note(self, name: str) -> None:
        self._held.setdefault(name, []).append(self._run.path(name).read_bytes())

    def _has_caught_up(self) -> bool:
        held = copies(self._collector, self._run.run_id)
        return all(
            len(held.get(name, b"")) == self._run.path(name).stat().st_size
            for name in self._held
            if not name.startswith("outputs/") and self._run.path(name).exists()
        )

    def _start_shipper(self) -> None:
        self._watcher = start_ship(self._collector, self._spool, "--watch")

    def _kill_shipper(self) -> None:
        if self._watcher is not None:
            self._watcher.send_signal(signal.SIGKILL)
            self._watcher.communicate()
            self._watcher = None


def test_random_actions_and_deaths_leave_the_collector_with_what_the_node_has(tmp_path: Path) -> None:
    numbers = itertools.count()
    with running_collector(tmp_path) as collector:

        @settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
        @given(actions=st.lists(ACTIONS, min_size=5, max_size=25))
        def attempt(actions: list[Action]) -> None:
            number = next(numbers)
            interpreter = Interpreter(collector, tmp_path / f"spool-{number}", f"run-{number}")
            try:
                for action in actions:
                    interpreter.do(action)
                interpreter.finish()
            finally:
                interpreter.close()

        attempt()
