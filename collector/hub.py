"""Wakes the followers of a run when its streams grow, when streams are opened, and when its state changes.

Told by ingest and by the routes; listened to by follow.py, merge/feed.py and tracking/applier.py. Holds no bytes: a follower
reads those from the store at its own pace, so a slow one costs no memory. Belongs to the event loop's thread.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from .state import State
from .streams import Stream


class Subscription:
    """What has happened to one run since its follower last looked."""

    __slots__ = ("dirty", "is_closing", "opened", "removed", "run_id", "silent_if", "state", "wake")

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.wake = asyncio.Event()
        self.dirty: set[int] = set()
        self.opened: list[Stream] = []
        self.state: State | None = None
        self.silent_if: tuple[str, ...] = ()
        self.removed: tuple[int, str] | None = None  # since when the run's files are gone, and why
        self.is_closing = False


class Watcher(Protocol):
    """Is told of every run, at once; returns fast."""

    def grown(self, streams: set[Stream]) -> None: ...
    def opened(self, stream: Stream) -> None: ...
    def told(self, run_id: str, state: State, silent_if: tuple[str, ...]) -> None: ...


class Listener(Watcher, Protocol):
    """Makes the run-level files of each run."""

    def trouble_of(self, run_id: str) -> str: ...


class Hub:
    """All subscriptions, by run, and who is told of all runs."""

    def __init__(self) -> None:
        self.listener: Listener | None = None
        self.watchers: list[Watcher] = []
        self._by_run: dict[str, set[Subscription]] = {}
        self._is_closing = False

    def __len__(self) -> int:
        return sum(len(subscriptions) for subscriptions in self._by_run.values())

    def is_followed(self, run_id: str) -> bool:
        """Whether there is a subscription to the run."""
        return run_id in self._by_run

    def subscribe(self, run_id: str) -> Subscription:
        """A subscription that has missed nothing from now on; to be given back by `unsubscribe`."""
        subscription = Subscription(run_id)
        subscription.is_closing = self._is_closing
        self._by_run.setdefault(run_id, set()).add(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """The follower has left."""
        subscriptions = self._by_run[subscription.run_id]
        subscriptions.remove(subscription)
        if not subscriptions:
            del self._by_run[subscription.run_id]

    def grown(self, streams: set[Stream]) -> None:
        """The streams have more bytes, or a gap, or were sealed or superseded."""
        for watcher in self._watchers():
            watcher.grown(streams)
        if not self._by_run:
            return
        by_run: dict[str, list[int]] = {}
        for stream in streams:
            by_run.setdefault(stream.run_id, []).append(stream.id)
        for run_id, ids in by_run.items():
            for subscription in self._by_run.get(run_id, ()):
                subscription.dirty.update(ids)
                subscription.wake.set()

    def opened(self, stream: Stream) -> None:
        """The stream is new."""
        for watcher in self._watchers():
            watcher.opened(stream)
        for subscription in self._by_run.get(stream.run_id, ()):
            subscription.opened.append(stream)
            subscription.wake.set()

    def told(self, run_id: str, state: State, silent_if: tuple[str, ...]) -> None:
        """The run's state is `state`; the nodes `silent_if` have not ended and have to be heard from."""
        for watcher in self._watchers():
            watcher.told(run_id, state, silent_if)
        for subscription in self._by_run.get(run_id, ()):
            subscription.state = state
            subscription.silent_if = silent_if
            subscription.wake.set()

    def removed(self, run_id: str, removed_ns: int, why: str) -> None:
        """The run's files are gone."""
        for subscription in self._by_run.get(run_id, ()):
            subscription.removed = (removed_ns, why)
            subscription.wake.set()

    def trouble_of(self, run_id: str) -> str:
        """What keeps the run's run-level files from being made now; empty where nothing does."""
        return self.listener.trouble_of(run_id) if self.listener is not None else ""

    def _watchers(self) -> list[Watcher]:
        return self.watchers if self.listener is None else [self.listener, *self.watchers]

    def close(self) -> None:
        """The collector stops: every follower's connection is to be closed, those that come later at once."""
        self._is_closing = True
        for subscriptions in self._by_run.values():
            for subscription in subscriptions:
                subscription.is_closing = True
                subscription.wake.set()
