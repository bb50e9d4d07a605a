"""What the tests of the command line look at: runs fed through the HTTP API, and the command as a process of its own."""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runyard import names, timeindex
from tests.collector.node import Node, gap_frame
from tests.collector_process import CollectorProcess

STDOUT, STDERR = timeindex.STDOUT, timeindex.STDERR
NOON_NS = 1_790_000_000_000_000_000
LIMIT_S = 20.0


class Driver:
    """A driver's log and its time index, as a node's agent would send them."""

    def __init__(self, node: Node, rank: int = 0, world_size: int = 1) -> None:
        self.node = node
        self.rank = rank
        self.log = names.driver_log(rank, world_size)
        self.content = b""
        self.index = b""
        self.generation = 0
        self._open()

    def _open(self) -> None:
        streams = self.node.open(self.log, names.index_of(self.log), generation=self.generation)
        self._log_id, self._index_id = (stream["id"] for stream in streams)

    def start(self) -> Driver:
        """The process has started."""
        self.node.put_state("Running", started_ns=NOON_NS, processes=[self._process("Started")])
        return self

    def write(self, data: bytes, source: int = STDOUT, *, at_s: float = 0.0) -> Driver:
        """Bytes that were seen `at_s` seconds after NOON_NS."""
        for start in range(0, len(data), 16 << 20):
            self.node.send(self._log_id, len(self.content) + start, data[start : start + (16 << 20)])
        self.content += data
        return self._record(source, at_s)

    def drop(self, length: int) -> Driver:
        """Bytes that were dropped at the quota."""
        start = len(self.content)
        assert self.node.ingest(gap_frame(self._log_id, start, start + length)).status == 200
        self.content += bytes(length)
        return self._record(STDOUT, 0)

    def _record(self, source: int, at_s: float) -> Driver:
        record = timeindex.pack(len(self.content), NOON_NS + round(at_s * 1e9), 0, source)
        self.node.send(self._index_id, len(self.index), record)
        self.index += record
        return self

    def truncate(self) -> Driver:
        """The log starts anew."""
        self.generation += 1
        self.content = self.index = b""
        self._open()
        return self

    def end(self, exit_code: int = 0, *, seal: bool = True) -> Driver:
        """The process has ended; everything is sealed and told."""
        if seal:
            assert self.node.seal(self._log_id, self.content)["result"] == "sealed"
            assert self.node.seal(self._index_id, self.index)["result"] == "sealed"
        status = "Failed" if exit_code else "Completed"
        self.node.put_state(
            status,
            exit_code=exit_code,
            cause=f"rank 0 ended with exit code {exit_code}" if exit_code else "",
            started_ns=NOON_NS,
            ended_ns=NOON_NS + 90 * 10**9,
            is_complete=True,
            processes=[self._process(status, exit_code)],
        )
        return self

    def _process(self, status: str, exit_code: int | None = None) -> dict[str, Any]:
        ended_ns = None if exit_code is None else NOON_NS + 90 * 10**9
        return {
            "rank": self.rank,
            "name": f"worker_{self.rank}",
            "pid": 4242,
            "status": status,
            "exit_code": exit_code,
            "signal": None,
            "started_ns": NOON_NS,
            "ended_ns": ended_ns,
            "log": self.log,
        }


def environment(collector: CollectorProcess, **more: str) -> dict[str, str]:
    """What the command is started with: this collector, and nothing of whoever runs the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RUNYARD_", "XDG_", "NO_COLOR"))}
    return kept | {"RUNYARD_COLLECTOR_URL": collector.url, "RUNYARD_TOKEN": collector.token} | more


def command(*arguments: str) -> list[str]:
    """The `runyard` command line."""
    return [sys.executable, "-m", "runyard", *arguments]


def runyard(
    collector: CollectorProcess, *arguments: str, cwd: Path | None = None, **environ: str
) -> subprocess.CompletedProcess[bytes]:
    """Runs a verb to its end."""
    done = subprocess.run(
        command(*arguments), env=environment(collector, **environ), cwd=cwd, capture_output=True, timeout=60, check=False
    )
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return done


class Live:
    """A verb that runs while the test goes on."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.out = b""
        self.err = b""
        assert process.stdout is not None
        assert process.stderr is not None
        self._selector = selectors.DefaultSelector()
        self._selector.register(process.stdout, selectors.EVENT_READ, "out")
        self._selector.register(process.stderr, selectors.EVENT_READ, "err")

    def until(self, *, out: bytes = b"", err: bytes = b"") -> None:
        """Reads until both texts have come; fails after LIMIT_S."""
        deadline = time.monotonic() + LIMIT_S
        while not (out in self.out and err in self.err):
            assert time.monotonic() < deadline, f"{out!r} or {err!r} did not come; out: {self.out!r}, err: {self.err!r}"
            assert self._read(0.2) or self.process.poll() is None, f"ended; out: {self.out!r}, err: {self.err!r}"

    def end(self) -> int:
        """Reads to the end; the exit code."""
        deadline = time.monotonic() + LIMIT_S
        while self._selector.get_map():
            assert time.monotonic() < deadline, f"did not end; out: {self.out[-1000:]!r}, err: {self.err!r}"
            self._read(0.2)
        assert b"Traceback" not in self.err, self.err.decode()
        return self.process.wait(LIMIT_S)

    def _read(self, timeout_s: float) -> bool:
        ready = self._selector.select(timeout_s)
        for key, _ in ready:
            data = os.read(key.fd, 1 << 16)
            if not data:
                self._selector.unregister(key.fileobj)
            elif key.data == "out":
                self.out += data
            else:
                self.err += data
        return bool(ready)


@contextmanager
def live(collector: CollectorProcess, *arguments: str, **environ: str) -> Iterator[Live]:
    """Starts a verb; it is ended at the end of the block, however the test went."""
    process = subprocess.Popen(
        command(*arguments), env=environment(collector, **environ), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        yield Live(process)
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def lines(data: bytes | str) -> Sequence[str]:
    """Lines of some output."""
    return (data.decode() if isinstance(data, bytes) else data).splitlines()
