"""The node's GPUs, watched from a thread of their own: a driver that hangs, as it may when a GPU is lost, holds up nobody.

Reads through gpu.py and, for Xid events, the kernel's log, or NVML where that cannot be read. On a node without NVIDIA's
library nothing is loaded, no thread is started and nothing is said. NVML stays open while the agent runs: whoever resets a GPU
or replaces the driver stops the agent before.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from .gpu import Devices, Gpu
from .nvml import Nvml, NvmlGone, is_installed
from .xid import KernelLog, Xid

# How long a look may take before the sample goes without it; later looks wait no more until that one has come back.
PATIENCE_S = 1.0
# The first look opens the driver, and how many GPUs there are is to be known before the node is given work.
FIRST_PATIENCE_S = 30.0
# Only then is a driver that does not answer a trouble: opening one that nothing else keeps loaded takes seconds for each GPU.
STUCK_S = 30.0
# Between two tries to find or to open the library.
RETRY_S = 60.0
# After so many looks handles are made anew, and what could not be told is asked again.
RENEW_LOOKS = 60


@dataclass(frozen=True, slots=True)
class Sight:
    """What was seen. `xids` are new ones, each told once; `stuck_s`: for how long the driver has not answered.

    `trouble`: why GPUs of this node cannot be used; `remark`: why nothing can be told of them. Both are sentences, or empty.
    """

    gpus: Sequence[Gpu] = ()
    xids: Sequence[Xid] = ()
    trouble: str = ""
    stuck_s: float = 0.0
    remark: str = ""


class Gpus:
    """Belongs to one thread. `say` is given one sentence whenever what is wrong becomes something else."""

    def __init__(
        self, say: Callable[[str], None], *, kernel_log: KernelLog | None = None, stuck_after_s: float = STUCK_S
    ) -> None:
        self._say = say
        self._stuck_after_s = stuck_after_s
        self.kernel_log = kernel_log or KernelLog()
        self._looker: _Looker | None = None
        self._next_try_s = 0.0
        self._said = ""

    def sample(self) -> Sight:
        """Blocks for PATIENCE_S at most, the first time that there is a library for FIRST_PATIENCE_S."""
        xids = self.kernel_log.read()
        if self._looker is None:
            if time.monotonic() < self._next_try_s:
                return Sight(xids=xids)
            self._next_try_s = time.monotonic() + RETRY_S
            if not is_installed():
                return Sight(xids=xids)
            self._looker = _Looker(with_events=not self.kernel_log.is_readable)
            sight = self._looker.look(FIRST_PATIENCE_S)
        else:
            sight = self._looker.look(PATIENCE_S)
        if sight.stuck_s >= self._stuck_after_s:
            sight = replace(sight, trouble="the driver of the GPUs does not answer")
        self._tell(sight.trouble or sight.remark)
        return replace(sight, xids=[*xids, *sight.xids])

    def close(self) -> None:
        """Ends the thread, unless it hangs: it is a daemon, and ends with the process."""
        if self._looker is not None:
            self._looker.stop()
        self.kernel_log.close()

    def _tell(self, sentence: str) -> None:
        if sentence != self._said:
            self._said = sentence
            self._say(sentence or "the GPUs answer again")


class _Looker:
    """The thread that calls NVML; asked for one look at a time."""

    def __init__(self, *, with_events: bool) -> None:
        self._with_events = with_events
        self._nvml = Nvml()
        self._devices: Devices | None = None
        self._looks = 0
        self._left: list[Xid] = []  # of the handles before these
        self._next_open_s = 0.0
        self._closed = Sight()  # what is told until the next try to open it
        self._is_ended = False
        self._asked_s = 0.0  # of the look that is under way; 0: none is
        self._last = Sight()
        self._wanted, self._done = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="gpus", daemon=True)
        self._thread.start()

    def look(self, patience_s: float) -> Sight:
        """The GPUs now, or as they were last where the driver does not answer."""
        now_s = time.monotonic()
        if not self._asked_s:
            self._asked_s = now_s
            self._done.clear()
            self._wanted.set()
        elif not self._done.is_set():
            patience_s = 0.0
        if self._done.wait(patience_s):
            self._asked_s = 0.0
            return self._last
        return replace(self._last, xids=(), stuck_s=time.monotonic() - self._asked_s)

    def stop(self) -> None:
        self._is_ended = True
        self._wanted.set()
        self._thread.join(1.0)

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()
            if self._is_ended:
                self._close()
                return
            try:
                self._last = self._once()
            except Exception as error:  # noqa: BLE001 - a driver's answer that nobody has foreseen costs a look, not the thread
                self._last = Sight(remark=f"the GPUs cannot be looked at: {type(error).__name__}: {error}")
            self._done.set()

    def _once(self) -> Sight:
        try:
            if not self._open():
                return self._closed
            assert self._devices is not None
            gpus, xids = self._devices.look(), self._left + self._devices.xids()
            self._left = []
        except NvmlGone as gone:
            self._close()
            self._next_open_s = time.monotonic() + RETRY_S
            why = f"the GPUs cannot be looked at: {gone}" if str(gone) else ""
            self._closed = Sight(trouble=why) if gone.is_serious else Sight(remark=why)
            return self._closed
        lost = [f"GPU {one.index} ({one.name or 'unknown'}) cannot be used: {one.lost}" for one in gpus if one.lost]
        return Sight(gpus, xids, "; ".join(lost))

    def _open(self) -> bool:
        """Whether NVML is open. Raises NvmlGone."""
        self._looks += 1
        if self._devices is not None and self._looks % RENEW_LOOKS:
            return True
        if self._devices is None:
            if time.monotonic() < self._next_open_s:
                return False
            self._nvml.open()
        else:
            self._left = self._devices.xids()
            self._devices.close()
            self._nvml.forget()
        self._devices = Devices(self._nvml, with_events=self._with_events)
        return True

    def _close(self) -> None:
        self._devices = None
        self._nvml.close()
