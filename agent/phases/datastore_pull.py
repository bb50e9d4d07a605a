"""The download itself: several files at a time on fsspec's event loop, each taken up where an earlier try has left it.

Reads from a source, writes to a place. Slow disks and digests have threads of their own, so that the network need not wait.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from runyard.errors import PhaseError

from .datastore_checksums import MOST_BYTES, parse
from .datastore_place import Part, Place, Whole
from .datastore_source import BrokenOffError, Content, Remote, Source
from .datastore_trouble import Trouble

TRIES = 5
FIRST_PAUSE_S = 0.5
# What came is written when it is so much: a thread's turn costs as much as writing a tenth of it.
WRITE_BYTES = 1 << 20
# A disk that takes longer for that, on the average of the last writes, is not waited for by the event loop.
SLOW_DISK_S = 0.005

T = TypeVar("T")


@dataclass(slots=True)
class Progress:
    """How far it is. Changed by the event loop's thread alone, read by the one that tells."""

    files: int = 0
    size_bytes: int | None = None  # of all files; None: the source does not say
    done_files: int = 0
    whole_bytes: int = 0
    fetched_files: int = 0
    fetched_bytes: int = 0
    under_way: dict[str, int] = field(default_factory=dict)  # bytes by file

    def bytes_there(self) -> int:
        """Of whole files and of those under way."""
        return self.whole_bytes + sum(list(self.under_way.values()))

    def done(self, name: str, size_bytes: int, *, is_fetched: bool) -> None:
        """Count a file that is whole."""
        self.under_way.pop(name, None)
        self.done_files += 1
        self.whole_bytes += size_bytes
        self.fetched_files += is_fetched


@dataclass(frozen=True, slots=True)
class Order:
    """How a download is to be done."""

    checksums: str  # the name of their file at the datastore; empty: there is none
    parallel: int
    first_pause_s: float  # after a try that failed; each further pause is twice as long
    slow_disk_s: float  # a disk that takes longer for a write gets threads of its own
    say: Callable[[str], None]  # called on the event loop's thread


class Pull:
    """One download. `run` once, on the event loop."""

    def __init__(self, source: Source, place: Place, trouble: Trouble, executor: Executor, order: Order) -> None:
        self._source = source
        self._place = place
        self._trouble = trouble
        self._executor = executor
        self._order = order
        self._sums: Mapping[str, str] = {}
        self._disk_s = 0.0
        self.progress = Progress()

    async def run(self) -> None:
        """Bring all files; raises PhaseError for the first that cannot be brought."""
        remotes = await self._list()
        self._check_names([remote.name for remote in remotes])
        sizes = [remote.size_bytes for remote in remotes]
        self.progress.size_bytes = None if None in sizes else sum(size or 0 for size in sizes)
        self.progress.files = len(remotes)
        remotes.sort(key=lambda remote: remote.name, reverse=True)
        workers = [asyncio.ensure_future(self._work(remotes)) for _ in range(min(self._order.parallel, len(remotes)))]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def _list(self) -> list[Remote]:
        if self._order.checksums:
            name = self._order.checksums
            data = await self._persist(f"the checksums {name}", lambda: self._text(self._source.named(name)))
            self._sums = parse(data, f"{name} of {self._trouble.store}")
        if not self._source.has_listing:
            return [self._source.named(name) for name in self._sums]
        remotes = await self._persist("", self._source.files)
        if not self._order.checksums:
            return remotes
        remotes = [remote for remote in remotes if remote.name != self._order.checksums]
        listed = {remote.name for remote in remotes}
        for name in sorted(listed ^ self._sums.keys()):
            why = "has no SHA-256 in" if name in listed else "is missing, though it is in"
            raise PhaseError(f"{name!r} of {self._trouble.store} {why} {self._order.checksums}; make the list anew")
        return remotes

    def _check_names(self, names: list[str]) -> None:
        taken = set(names)
        for name in names:
            parts = name.split("/")
            if any(part in ("", ".", "..") for part in parts) or "\0" in name:
                raise PhaseError(
                    f"{self._trouble.store} has a file named {name!r}, which leads out of the folder or is no file's name"
                )
            above = next((path for end in range(1, len(parts)) if (path := "/".join(parts[:end])) in taken), "")
            if above:
                raise PhaseError(f"{self._trouble.store} has both {above!r} and {name!r}: a folder cannot have a file's name")

    async def _work(self, remotes: list[Remote]) -> None:
        while remotes:
            remote = remotes.pop()
            whole = self._place.whole(remote.name)
            if whole is not None and await self._is_current(remote, whole):
                self.progress.done(remote.name, whole.size_bytes, is_fetched=False)
            else:
                await self._bring(remote)

    async def _is_current(self, remote: Remote, whole: Whole) -> bool:
        if self._order.checksums:
            return whole.sha256 == self._sums[remote.name]
        version = await self._persist(repr(remote.name), lambda: self._source.version_of(remote))
        return bool(version) and version == whole.version

    async def _bring(self, remote: Remote) -> None:
        part = self._place.part(remote.name, with_digest=bool(self._order.checksums))
        try:
            await self._persist(repr(remote.name), lambda: self._fetch(remote, part), lambda: part.size_bytes)
        finally:
            part.close()
        self.progress.done(remote.name, part.size_bytes, is_fetched=True)

    async def _fetch(self, remote: Remote, part: Part) -> None:
        # One byte too many: a range that begins at the end is no range.
        start = max(part.size_bytes - 1, 0) if part.version else 0
        async with self._source.opened(remote, start, part.version) as content:
            part.begin(content.start, content.version)
            if content.start and part.digest is not None:
                await self._in_thread(part.digest_found)
            blocks: list[bytes] = []
            try:
                await self._receive(remote.name, content, part, blocks)
            finally:
                await self._store(part, blocks)  # whatever broke off: what has come is not asked for again
        await self._on_disk(self._end, remote, part, content)

    async def _receive(self, name: str, content: Content, part: Part, blocks: list[bytes]) -> None:
        """Write what comes; the last blocks stay in `blocks`."""
        size_bytes = 0
        async for block in content.blocks:
            if size_bytes >= WRITE_BYTES:
                full, size_bytes = blocks.copy(), 0
                blocks.clear()
                await self._store(part, full)
                self.progress.under_way[name] = part.size_bytes
            blocks.append(block)
            size_bytes += len(block)
            self.progress.fetched_bytes += len(block)

    async def _store(self, part: Part, blocks: list[bytes]) -> None:
        digesting = None
        if part.digest is not None:
            digesting = asyncio.ensure_future(self._in_thread(part.digest.update, b"".join(blocks)))
        await self._on_disk(part.write, blocks)
        if digesting is not None:
            await digesting

    def _end(self, remote: Remote, part: Part, content: Content) -> None:
        """Check the file and keep it. Blocks."""
        expected = content.size_bytes if remote.size_bytes is None else remote.size_bytes
        if expected is not None and part.size_bytes != expected:
            raise BrokenOffError(f"{part.size_bytes} bytes came, {expected} were expected")
        sha256 = self._verified(remote, part, content)
        self._place.keep(part, Whole(remote.name, part.size_bytes, content.version, sha256))

    def _verified(self, remote: Remote, part: Part, content: Content) -> str:
        if part.digest is None:
            return ""
        found, expected = str(part.digest.hexdigest()), self._sums[remote.name]
        if found != expected:
            part.discard()
            if content.start:
                raise BrokenOffError(f"what was there of an earlier try does not belong to it: its SHA-256 is {found}")
            raise PhaseError(
                f"{remote.name!r} of {self._trouble.store} has the SHA-256 {found}, but {self._order.checksums} says {expected}"
            )
        return found

    async def _text(self, remote: Remote) -> bytes:
        async with self._source.opened(remote, 0, "") as content:
            data = b""
            async for block in content.blocks:
                data += block
                if len(data) > MOST_BYTES:
                    raise PhaseError(f"the checksums {remote.name} of {self._trouble.store} have more than {MOST_BYTES} bytes")
        return data

    async def _persist(self, what: str, attempt: Callable[[], Awaitable[T]], got_bytes: Callable[[], int] = lambda: 0) -> T:
        """The attempt's result; tried again, with pauses, where its trouble may pass. Who gets further starts counting anew."""
        number, furthest = 1, got_bytes()
        while True:
            try:
                return await attempt()
            except Exception as error:  # noqa: BLE001 - any library's: each is made a sentence
                trouble = self._trouble.of(error, what)
                if not trouble.is_passing or number == TRIES:
                    raise trouble from None  # the library's own holds headers, and those hold secrets
            if got_bytes() > furthest:
                number, furthest = 1, got_bytes()
            pause_s = self._order.first_pause_s * 2 ** (number - 1)
            number += 1
            self._order.say(f"{trouble}; attempt {number} of {TRIES} in {pause_s:g} s.")
            await asyncio.sleep(pause_s)

    async def _on_disk(self, function: Callable[..., None], *arguments: Any) -> None:
        """Call what writes: here while the disk answers at once, in a thread where it does not.

        A thread waits for the interpreter at each turn; next to a busy event loop that takes longer than writing a file.
        """
        if self._disk_s > self._order.slow_disk_s:
            await self._in_thread(function, *arguments)
            return
        begun_s = time.perf_counter()
        try:
            function(*arguments)
        finally:
            self._disk_s += (time.perf_counter() - begun_s - self._disk_s) / 8

    async def _in_thread(self, function: Callable[..., None], *arguments: Any) -> None:
        await asyncio.get_running_loop().run_in_executor(self._executor, function, *arguments)
