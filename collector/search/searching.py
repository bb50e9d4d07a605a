"""A search as the collector sees it: the process that does it, its answer as it comes, and its end in any case.

Writes the question to the process's stdin, and reads its stdout.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec

from runyard.collector.problems import Problem, invalid

# Searches at once; who comes while there are so many waits so long.
AT_ONCE = 4
WAIT_S = 10.0
# After its time a process may write what it has; one that is in the middle of a regular expression cannot.
GRACE_S = 0.5
# How often it is looked whether the client is still there.
LOOK_S = 0.25
READ_BYTES = 64 << 10
_TIME_IS_OVER = b'{"kind": "end", "why": "time"}\n'
_HAS_FAILED = b'{"kind": "end", "why": "failed"}\n'

_free = asyncio.Semaphore(AT_ONCE)


@contextlib.asynccontextmanager
async def a_turn() -> AsyncIterator[None]:
    """One of the searches at once; raises a 503 where none gets free."""
    try:
        async with asyncio.timeout(WAIT_S):
            await _free.acquire()
    except TimeoutError as error:
        detail = f"{AT_ONCE} searches are running; try again in a moment"
        raise Problem(503, "busy", detail, headers={"Retry-After": "1"}) from error
    try:
        yield
    finally:
        _free.release()


class Search:
    """The process of one search."""

    def __init__(self, process: asyncio.subprocess.Process, end_s: float) -> None:
        self._process = process
        self._end_s = end_s

    async def ready(self) -> None:
        """Waits until it begins; raises a 400 where it cannot use a regular expression."""
        assert self._process.stdout is not None
        line = b""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, self._end_s - time.monotonic())):
                line = await self._process.stdout.readline()
        told = msgspec.json.decode(line) if line else {"why": "it takes too long, or too much memory"}
        if told.get("kind") != "ready":
            raise invalid(f"the regular expression cannot be used: {told.get('why', '')}")

    async def pieces(self, is_gone: Callable[[], bool]) -> AsyncIterator[bytes]:
        """Whole lines as they come; the last one says why it ended, also where the process could not."""
        assert self._process.stdout is not None
        lines = rest = b""
        while not is_gone():
            data = await self._read(self._process.stdout)
            if data == b"":
                if b'"kind": "end"' not in lines[-100:]:
                    yield _HAS_FAILED
                return
            if data is None:
                if time.monotonic() > self._end_s + GRACE_S:
                    yield _TIME_IS_OVER
                    return
                continue
            piece, newline, rest = (rest + data).rpartition(b"\n")
            if newline:
                lines = piece
                yield piece + newline

    async def _read(self, stdout: asyncio.StreamReader) -> bytes | None:
        """Bytes, none at its end, or None where none have come for a while."""
        try:
            async with asyncio.timeout(LOOK_S):
                return await stdout.read(READ_BYTES)
        except TimeoutError:
            return None


@contextlib.asynccontextmanager
async def searching(question: dict[str, Any]) -> AsyncIterator[Search]:
    """A search, which has ended behind the block however the block has."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "runyard.collector.search.worker"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert process.stdin is not None
        process.stdin.write(json.dumps(question).encode() + b"\n")  # msgspec takes no half characters
        process.stdin.close()
        yield Search(process, time.monotonic() + question["limit_s"])
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
