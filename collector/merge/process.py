"""The process that merges, as the collector sees it: started when it is needed, asked, started again when it has died.

Writes questions to its stdin and reads answers from its stdout (talk.py). Foreign errors become MergeError here.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sys
import time
from collections.abc import Collection
from pathlib import Path

import msgspec
import structlog

from runyard.collector.store import Store, StoreError
from runyard.errors import RunyardError
from runyard.names import DIR_MODE

from .journal import Journal
from .talk import Answers, Tick

# A line with the news of many streams.
LINE_BYTES = 64 << 20
END_S = 2.0
LOCK_S = 10.0

log = structlog.get_logger()


class MergeError(RunyardError):
    """The process cannot be had now; trying again may help."""


class Process:
    """The process that merges."""

    def __init__(self, root: Path, folder: Path, wait_s: float) -> None:
        self._arguments = (str(root), str(folder), str(wait_s))
        self._process: asyncio.subprocess.Process | None = None

    @property
    def is_running(self) -> bool:
        """Whether it knows what it was told before."""
        return self._process is not None and self._process.returncode is None

    async def ask(self, tick: Tick) -> Answers:
        """Its answer. Raises MergeError; then it knows nothing any more."""
        try:
            process = self._process if self.is_running and self._process else await self._start()
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(msgspec.json.encode(tick) + b"\n")
            await process.stdin.drain()
            line = await process.stdout.readline()
            return msgspec.json.decode(line, type=Answers)
        except (OSError, ValueError, msgspec.MsgspecError) as error:
            await self.close()
            raise MergeError(f"the process that merges has ended: {error}") from error

    async def _start(self) -> asyncio.subprocess.Process:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "runyard.collector.merge.worker", *self._arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=LINE_BYTES,
        )
        return self._process

    async def close(self) -> None:
        """Ends it; what it has not told the journal is done again."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(END_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


def recover(store: Store, folder: Path, to_merge: Collection[str]) -> None:
    """Cuts the run-level files of the runs `to_merge` to what their journals tell, before anybody sees them; a process of a
    collector that has died is waited for. Blocks; raises OSError."""
    folder.mkdir(DIR_MODE, exist_ok=True)
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _lock(lock)
        for path in folder.glob("*.journal"):
            # Of a run that is sealed: a kill or a power cut has left it, and after the latter it would say that nothing counts.
            if path.stem not in to_merge:
                path.unlink()
                continue
            journal = Journal(path)
            journal.load()
            try:
                untold_bytes = journal.cut(store)
                if untold_bytes:
                    log.info("the end of a run's overall logs is merged again", run=path.stem, bytes=untold_bytes)
            except StoreError as error:
                log.error("the overall logs of a run cannot be cut", journal=path.name, error=str(error))
    finally:
        os.close(lock)


def _lock(lock: int) -> None:
    end_s = time.monotonic() + LOCK_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end_s:
                raise
            time.sleep(0.05)
        else:
            return
