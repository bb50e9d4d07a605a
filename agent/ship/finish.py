"""The end of a run: outputs are taken, the rest is sent, every stream is sealed, the final state is told.

Reads from the run's spool; writes to the collector and, last of all, .runyard/shipped.json. What survives a crash: without
shipped.json all of this is done again; sealing and telling twice is harmless.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from runyard import names
from runyard.agent import attempts
from runyard.atomic import write_json

from .scan import ALL_ROOTS
from .tail import Tail
from .transfer import Transfer

# Most bytes and streams sealed by one request: the collector reads them all before it answers.
SEAL_BYTES = 1 << 30
SEALS_PER_REQUEST = 1000
# Beside a grace, the slowest disk of a collector that we wait for.
SEAL_TIMEOUT_S = 60.0
SEAL_RATE = 20 << 20
# A file that somebody goes on changing in place never matches; after so many generations it stays unsealed.
SEAL_TRIES = 3


class Finish:
    """Goes on where it was when it is called again after a failure; sizes are taken once, at its beginning."""

    def __init__(self, transfer: Transfer, is_awaited: Callable[[], bool]) -> None:
        self._is_awaited = is_awaited  # whether another attempt at the run is due
        self._transfer = transfer
        self._files = transfer.files
        self._has_begun = False
        self._unsealed: dict[str, str] = {}

    def run(self) -> None:
        """Blocks until all is sent, sealed and told. Raises CollectorError's kinds."""
        transfer = self._transfer
        if not self._has_begun:
            self._begin()
        while True:
            while transfer.send():
                pass
            transfer.settle()
            if self._files.with_work:  # the collector went back
                continue
            if not self._seal_some():
                break
        run, run_dir = transfer.run, transfer.run_dir
        is_followed = attempts.is_followed(run_dir, run)
        is_awaited = not is_followed and self._is_awaited() and attempts.may_follow(run_dir, run)
        # A run that is started again is not over, and its folder is not before the next attempt is there.
        transfer.tell(is_complete=not (is_followed or is_awaited))
        self._write(names.SHIPPED_SO_FAR_FILE if is_awaited else names.SHIPPED_FILE)

    def _begin(self) -> None:
        now_s = time.monotonic()
        self._files.forgive()
        self._transfer.scan(ALL_ROOTS)
        self._transfer.refresh_gaps()
        self._files.look_at_all(now_s)
        self._has_begun = True

    def _seal_some(self) -> bool:
        """Seal as many as one request takes; whether there is more to do."""
        seals: list[dict[str, Any]] = []
        tails: list[Tail] = []
        size = 0
        for tail in list(self._files.by_id.values()):
            if tail.is_sealed or tail.is_gone or tail.name in self._unsealed:
                continue
            seal = self._seal_of(tail)
            if seal is None:
                return True
            seals.append(seal)
            tails.append(tail)
            size += tail.size
            if size >= SEAL_BYTES or len(seals) >= SEALS_PER_REQUEST:
                break
        if not seals:
            return False
        for tail, answer in zip(
            tails, self._transfer.remote.seal(seals, timeout_s=SEAL_TIMEOUT_S + size / SEAL_RATE), strict=True
        ):
            self._take(tail, answer)
        return True

    def _seal_of(self, tail: Tail) -> dict[str, Any] | None:
        """The seal of a file; None where the file is not what was sent any more, and is dealt with."""
        if tail.is_lost:
            self._leave_unsealed(tail, "the collector has lost bytes of it that are gone here, too")
            return None
        reclaimed = [] if tail.name in self._files.rewritten else self._transfer.ledger.reclaimed(tail.name)
        try:
            is_same = self._files.descriptors.open(tail)
            segments = self._transfer.hasher.segments(tail.fd, tail.size, reclaimed) if is_same else None
        except OSError as error:
            self._leave_unsealed(tail, f"it cannot be read: {error.strerror}")
            return None
        if segments is None:
            self._again(tail, "it became shorter")
            return None
        return {"stream": tail.stream_id, "length": tail.size, "segments": segments}

    def _take(self, tail: Tail, answer: dict[str, Any]) -> None:
        if answer["result"] == "sealed":
            tail.is_sealed = True
        elif answer["result"] == "short":
            tail.sent = int(answer["offset"])
            self._files.note(tail)
            self._count(tail, "the collector lost bytes of it again and again")
        else:
            self._again(tail, "it was changed in place")

    def _again(self, tail: Tail, why: str) -> None:
        """What the collector has is not what the file holds: the next generation, all sent again."""
        if self._transfer.ledger.reclaimed(tail.name):
            # What was given back cannot be sent once more; the earlier copy is worth more than a new one with a hole.
            self._leave_unsealed(tail, f"{why}, and a part of it was given back to the disk")
            return
        if not self._count(tail, f"{why} again and again"):
            return
        now_s = time.monotonic()
        self._files.look_at_name(tail.name, now_s)
        if not tail.is_gone and tail.stream_id >= 0:
            self._files.restart(tail)
            self._files.look_at(tail, now_s)

    def _count(self, tail: Tail, why: str) -> bool:
        tail.seal_tries += 1
        if tail.seal_tries < SEAL_TRIES:
            return True
        self._leave_unsealed(tail, why)
        return False

    def _leave_unsealed(self, tail: Tail, why: str) -> None:
        self._unsealed[tail.name] = why
        self._transfer.say(f"the file {tail.name!r} is sent but not sealed: {why}")

    def _write(self, name: str) -> None:
        gone = {tail.name: "it was removed before the run's end" for tail in self._files.by_name.values() if tail.is_gone}
        result = {
            "shipped_ns": time.time_ns(),
            "streams": len(self._files.by_id),
            "bytes": self._files.durable_bytes(),
            "unsealed": gone | self._unsealed,
            "not_sent": self._files.passed_over(),
        }
        write_json(f"{self._transfer.run_dir}/{name}", result)
