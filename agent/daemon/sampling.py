"""The newest sample of the node, and what it has for runs, looked at in a thread: a GPU driver that hangs keeps only that."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from . import capacity


class Sampling:
    """`newest` may be called from any thread. With `sample_s` 0 there are none."""

    def __init__(self, spool_dir: Path, sample_s: float, log: Any) -> None:
        self._spool_dir = spool_dir
        self._sample_s = sample_s
        self._log = log
        self._newest: dict[str, float] = {}
        self._sampler: Any = None  # once it has sampled
        self._first_capacity = capacity.capacity()

    @property
    def capacity(self) -> dict[str, Any]:
        """What the node has for runs, in the words of the contract's Capacity."""
        found: dict[str, Any] = self._sampler.capacity() if self._sampler is not None else self._first_capacity
        return found

    @property
    def trouble(self) -> str:
        """What is wrong with the node's GPUs, as a sentence; empty where nothing is."""
        return str(self._sampler.trouble) if self._sampler is not None else ""

    def start(self, stop: threading.Event) -> None:
        """Sample until `stop` is set."""
        if self._sample_s:
            threading.Thread(target=self._run, args=(stop,), name="samples", daemon=True).start()

    def newest(self) -> dict[str, float]:
        """The last sample; not to be changed."""
        return self._newest

    def _run(self, stop: threading.Event) -> None:
        try:
            from runyard.agent.telemetry.sampler import Sampler

            sampler = Sampler(self._spool_dir, self._log.warning)
        except Exception as error:  # noqa: BLE001 - a node whose GPU library is broken is a node all the same
            self._log.warning(f"this node is not sampled: {type(error).__name__}: {error}")
            return
        trouble = ""
        while not stop.is_set():
            try:
                self._newest = sampler.sample()
                self._sampler, trouble = sampler, ""
            except Exception as error:  # noqa: BLE001 - as above; the next sample may be had
                if str(error) != trouble:
                    trouble = str(error)
                    self._log.warning(f"the node cannot be sampled: {type(error).__name__}: {error}")
            stop.wait(self._sample_s)
        sampler.close()
