"""One run's way to the collector, step by step: find files, tell the state, open streams, send, ask for durability.

Reads from the run's spool; writes to the collector, and (when the quota is half used) to reclaimed.jsonl and the logs.
Survives a crash by keeping nothing: `connect` asks the collector for all it has.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from runyard import names
from runyard.errors import CollectorBusy, CollectorRefused
from runyard.settings import Ship
from runyard.wire import DATA, pack_header

from .arrivals import Arrivals
from .batch import Batch, compose
from .files import Files
from .giveback import GiveBack
from .ledger import Ledger
from .remote import STREAMS_PER_REQUEST, Remote
from .report import Report
from .scan import LIVE_ROOTS
from .seal import Hasher
from .tail import Tail
from .telling import Telling

# A request should be over after about so long, so that live lines wait no longer behind a bulk of old ones.
REQUEST_S = 0.25
LEAST_BATCH_BYTES = 64 << 10
FIRST_BATCH_BYTES = 4 << 20
# Nothing new for so long: then the collector is asked what is durable. Its own group commit is mostly done by then.
QUIET_S = 1.0
# A scan may take one part in so many of the time; not more often than SCAN_S, or SCAN_BLIND_S where events cannot be had.
SCAN_SHARE = 50
SCAN_S = 2.0
SCAN_BLIND_S = 0.25
GIVE_BACK_S = 0.2
# A stream costs the collector a millisecond; thousands of new files must not keep the live logs waiting.
OPENED_AT_ONCE = 200


class Resync(Exception):  # noqa: N818 - no error: the collector is asked anew for what it has
    """What we believe about the collector's offsets is not so."""


class Transfer:
    """Belongs to the shipper's thread. `turn` is called in long work; it raises where the shipper was asked to stop."""

    def __init__(
        self,
        run_dir: str,
        run: dict[str, Any],
        remote: Remote,
        settings: Ship,
        say: Callable[[str], None],
        turn: Callable[[], None],
    ) -> None:
        self.run_dir = run_dir
        self.run = run
        self.remote = remote
        self.files = Files(run_dir, say)
        self.ledger = Ledger(run_dir)
        self.report = Report(run_dir, list(run["ranks"]))
        self._telling = Telling(run_dir, run, self.report, remote, say)
        self.hasher = Hasher(self._keep_alive)
        self._settings = settings
        self.say = say
        self._turn = turn
        self._arrivals = Arrivals(run_dir, say)
        logs = [names.driver_log(rank, int(run["world_size"])) for rank in run["ranks"]]
        self._give_back = GiveBack(run_dir, int(run.get("quota_bytes") or 0), logs, self.ledger, self.hasher, say)
        self._batch_bytes = settings.batch_bytes
        self._limit = min(FIRST_BATCH_BYTES, settings.batch_bytes)
        self._is_registered = False
        # Since when the collector has not been asked what it wants of the run: however much is sent meanwhile, it is asked.
        self._told_s = 0.0
        self._grown_s = self._scan_due_s = self._give_back_due_s = 0.0
        self._is_scan_asked = False

    @property
    def wake(self) -> threading.Event:
        """Set when a file has appeared."""
        return self._arrivals.wake

    @property
    def wait_s(self) -> float:
        """How long to wait before the next step where there is nothing more to do now: a thousand nodes of one collector look
        less often than one."""
        own_s = self._settings.poll_interval_s if self.files.is_hot else self._settings.idle_interval_s
        return max(own_s, self.remote.asked_pause_s)

    def connect(self) -> None:
        """Connect, make run and node known, and take the collector's word on what it has."""
        # First, so that also while the collector is away it is known how much is to be sent.
        self.scan(LIVE_ROOTS)
        self.refresh_gaps()
        self.files.look_at_all(time.monotonic())
        self.remote.open()
        if not self._is_registered:
            self.remote.create_run()
            self.remote.join()
            self._is_registered = True
        now_s = time.monotonic()
        self.files.adopt(self.remote.streams(), now_s)
        for name in self.ledger.names():
            self._tell_losses(self.files.by_name.get(name))
        self._telling.again()
        self._told_s = now_s

    def register_again(self) -> None:
        """The next `connect` makes run and node known anew, where the collector may have forgotten them."""
        self._is_registered = False

    def close(self) -> None:
        self._arrivals.close()
        self.files.descriptors.close_all()
        self.remote.close()

    def step(self) -> bool:
        """Find what is new and send some of it; whether there is more to send at once. Raises CollectorError's kinds."""
        now_s = time.monotonic()
        self._find(now_s)
        if self._telling.tell_if_due():
            self._told_s = time.monotonic()
        elif now_s - self._told_s > self._settings.heartbeat_s:
            self._keep_alive()
        has_more = self.send()
        is_short = self._is_short_of_room(now_s)
        if not has_more and (is_short or (now_s - self._grown_s > QUIET_S and self._has_undurable())):
            self.settle()
        return has_more

    def tell(self, *, is_complete: bool) -> None:
        """Tell the state as it is, and do what is asked in the answer."""
        self._telling.tell(is_complete=is_complete)
        self._told_s = time.monotonic()

    def scan(self, roots: tuple[str, ...], *, is_expected: bool = True) -> None:
        """Take in all files there are now. Unless new ones are expected, those that no event has named tell of lost events."""
        started_s = time.monotonic()
        self._arrivals.watch(roots)
        missed = self.files.scan(roots, started_s)
        ended_s = time.monotonic()
        self._is_scan_asked = False
        if missed and not is_expected:
            self._arrivals.blind("the kernel's watches on folders have run out (fs.inotify.max_user_watches)")
        pause_s = SCAN_BLIND_S if self._arrivals.is_blind else SCAN_S
        self._scan_due_s = ended_s + max(pause_s, SCAN_SHARE * (ended_s - started_s))

    def refresh_gaps(self) -> None:
        """Take in gaps that the shepherd has noted. Before a look at sizes: a gap's end lies within the file."""
        self.files.take_losses(*self.ledger.refresh())

    def send(self, *, sync: bool = False) -> bool:
        """Open streams and send one batch; whether there is more. With `sync` what was sent is durable afterwards."""
        self._turn()
        has_unopened = self._open_streams()
        now_s = time.monotonic()
        batch = compose(self.files, self._limit, now_s)
        if not batch.small and not batch.large:
            return has_unopened
        try:
            acks = self.remote.ingest(b"".join(batch.small), batch.large, sync=sync)
        except CollectorRefused as error:
            self._refused(error)
            return True
        self._grown_s = time.monotonic()
        self._sent(batch, acks)
        self._adapt(batch.data_bytes, self._grown_s - now_s)
        return bool(self.files.with_work)

    def settle(self) -> None:
        """Wait until all that was sent is durable."""
        undurable = [tail for tail in self.files.by_id.values() if tail.durable < tail.sent]
        for start in range(0, len(undurable), STREAMS_PER_REQUEST):
            # Frames without bytes name the streams: as many as one likes, where a request's line has its limit.
            named = (pack_header(DATA, tail.stream_id, tail.sent, 0) for tail in undurable[start : start + STREAMS_PER_REQUEST])
            try:
                self._acknowledge(self.remote.ingest(b"".join(named), (), sync=True))
            except CollectorRefused as error:
                self._refused(error)
            self._turn()

    def _find(self, now_s: float) -> None:
        arrived, needs_scan = self._arrivals.take()
        for name in arrived:
            self.files.look_at_name(name, now_s)
        if needs_scan:
            self._is_scan_asked = True
            self._scan_due_s = min(self._scan_due_s, now_s + (self._scan_due_s - now_s) / SCAN_SHARE)
        if now_s >= self._scan_due_s:
            self.scan(LIVE_ROOTS, is_expected=self._is_scan_asked)
        self.refresh_gaps()
        self.files.look(now_s)
        # Where the ledger knew nothing of the old bytes, all that it will say is about the new ones.
        self.files.rewritten &= self.ledger.names()
        if self.files.with_work:
            self._grown_s = now_s

    def _is_short_of_room(self, now_s: float) -> bool:
        """Give room back where it is wanted; True where more is wanted than is durable: the driver may be waiting for it."""
        if now_s < self._give_back_due_s:
            return False
        self._give_back_due_s = now_s + GIVE_BACK_S
        if not self._give_back.is_wanted():
            return False
        if self._give_back.step(self.files):
            self._give_back_due_s = 0.0
            return False
        return True

    def _has_undurable(self) -> bool:
        return any(tail.durable < tail.sent for tail in self.files.by_id.values())

    def _keep_alive(self) -> None:
        """Tell the state again where that is due: the answer says what is wanted of the run, a cancel for one."""
        self._turn()
        if time.monotonic() - self._told_s > self._settings.heartbeat_s:
            if self.report.is_known:
                self.tell(is_complete=False)
            else:
                self.remote.sign_of_life()
            self._told_s = time.monotonic()

    def _open_streams(self) -> bool:
        """Open some of the streams that are to be opened; whether more are left."""
        unopened = [tail for tail in self.files.with_work if tail.stream_id < 0]
        for tail in unopened:
            why = "" if tail.generation else self.files.why_no_room(tail.name)
            if why:
                self.files.pass_over(tail, why)
        unopened = [tail for tail in unopened if tail in self.files.with_work]
        if unopened:
            self._open(unopened[:OPENED_AT_ONCE])
        return len(unopened) > OPENED_AT_ONCE

    def _open(self, tails: list[Tail]) -> None:
        try:
            streams = self.remote.open_streams([(tail.name, tail.generation, tail.source) for tail in tails])
        except CollectorRefused as error:
            if error.code == "superseded":
                raise Resync(str(error)) from error
            if error.status != 400 and error.code != "name-taken":
                raise
            # One bad name must not keep the others: halves, until it stands alone.
            if len(tails) == 1:
                self.files.pass_over(tails[0], f"is refused by the collector ({error})")
                return
            self._open(tails[: len(tails) // 2])
            self._open(tails[len(tails) // 2 :])
            return
        lossy = self.ledger.names()
        for tail, stream in zip(tails, streams, strict=True):
            if self.files.adopt_one(tail, stream) and tail.name in lossy:
                self._tell_losses(tail)
            self.files.note(tail)

    def _tell_losses(self, tail: Tail | None) -> None:
        """After a stream was opened or found: everything that this disk has lost of it is told again."""
        if tail is None or tail.stream_id < 0 or tail.name in self.files.rewritten:
            return
        tail.untold = []
        losses = self.ledger.gaps(tail.name)
        for start, end, _ in self.ledger.reclaimed(tail.name):
            if end > tail.sent:
                # It had them and has them no more: another collector, or a lost disk.
                losses.append((max(start, tail.sent), end))
                tail.is_lost = True
        if tail.is_lost:
            self.say(f"the collector has lost bytes of {tail.name!r} that it had acknowledged; they are marked as a gap")
        self.files.add_gaps(tail.name, losses)

    def _refused(self, error: CollectorRefused) -> None:
        """A refusal in the middle of a batch that has a way out; anything else goes on to the caller."""
        acks = error.problem.get("acks")
        self._acknowledge(acks if isinstance(acks, list) else [])
        tail = self.files.by_id.get(int(str(error.problem.get("stream", -1))))
        if error.code == "too-large" and self._batch_bytes > LEAST_BATCH_BYTES:
            self._batch_bytes = self._limit = max(LEAST_BATCH_BYTES, self._limit // 2)
        elif error.code == "gap" and tail is not None:
            tail.sent = int(str(error.problem["expected"]))
            self._tell_losses(tail)
            self.files.note(tail)
        elif error.code == "sealed" and tail is not None:
            self.files.restart(tail)
        elif error.code in ("gap", "sealed", "superseded", "torn", "corrupt", "no-such-stream"):
            raise Resync(str(error)) from error
        else:
            raise error

    def _sent(self, batch: Batch, acks: list[dict[str, Any]]) -> None:
        for tail, stream_id, count in batch.told:
            if tail.stream_id == stream_id:
                del tail.untold[:count]
        moved = self._acknowledge(acks)
        for tail, _, _ in batch.told:
            self.files.note(tail)
        if batch.data_bytes and not moved:
            raise CollectorBusy("the collector takes requests and keeps none of their bytes", status=200)

    def _acknowledge(self, acks: list[dict[str, Any]]) -> bool:
        """Take over what the collector has now; whether anything moved."""
        moved = False
        by_id, note = self.files.by_id, self.files.note
        for ack in acks:
            tail = by_id.get(ack["id"])
            if tail is None:
                continue
            moved = moved or tail.sent != ack["offset"]
            tail.sent, tail.durable = ack["offset"], ack["durable"]
            note(tail)
        return moved

    def _adapt(self, data_bytes: int, took_s: float) -> None:
        if took_s > REQUEST_S and data_bytes >= self._limit // 2:
            self._limit = max(LEAST_BATCH_BYTES, int(self._limit * max(0.25, REQUEST_S / took_s)))
        elif took_s < REQUEST_S / 2 and data_bytes >= self._limit // 2:
            self._limit = min(self._batch_bytes, self._limit * 2)
