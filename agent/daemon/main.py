"""`runyard agent`: the agent of a cluster's node. Startup, main loop, shutdown.

Reads the settings, the spool and what the collector wants; writes the spools of runs, and, through threads of its own, to the
collector: heartbeats and work (conversation.py), the runs' files (ship/watch.py), samples (telemetry/). It is nobody's parent
but a shepherd's for a moment: each run lives in a scope, or a session, of its own. What survives its kill -9: everything. The
next agent finds the runs in the spool, and the collector tells it again all that it is to have.
"""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

from runyard import __version__, names
from runyard.agent.node import node_id
from runyard.agent.retention import Retention
from runyard.agent.ship.watch import Watch
from runyard.errors import CollectorError, CollectorRefused, CollectorUnreachable, InputError, RunyardError
from runyard.sd_notify import ALIVE, READY, STOPPING, Notifier, status
from runyard.settings import Settings

from . import cleanliness, reconcile, spool_place
from .conversation import Conversation
from .credentials import CredentialStore
from .link import Link
from .local import LocalRuns
from .memory import MemoryStore
from .reconcile import Key, LocalRun, Work
from .sampling import Sampling
from .scope import Starter
from .start import make_spool

# Between two looks at the spool: while runs are under way, and else.
BUSY_TICK_S = 0.25
IDLE_TICK_S = 1.0
# How long the shippers have, at the end, to finish what they are about.
SHIPPERS_END_S = 5.0


class Agent:
    """One node's agent."""

    def __init__(self, settings: Settings, log: Any) -> None:
        self._settings = settings
        self._log = log
        self._spool_dir = Path(settings.spool.dir).expanduser().absolute()
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._notifier = Notifier()
        self._store = CredentialStore(Path(settings.agent.state_dir).expanduser().absolute())
        self._memories = MemoryStore(self._store.state_dir)
        self._memory = reconcile.Memory()
        self._unkept = ""
        self._starter = Starter(settings.agent.scopes)
        self._refused: dict[Key, str] = {}
        self._not_before_s: dict[Key, float] = {}
        self._said: dict[Key, str] = {}
        self._local: list[LocalRun] = []
        self._failure = ""

    def main(self) -> int:
        """Blocks until SIGTERM or SIGINT; returns the exit code."""
        self._startup()
        self._main_loop()
        self._shutdown()
        return 0

    def _startup(self) -> None:
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)
        self._store.lock()
        self._memory = self._memories.load()
        spool_place.prepare(self._spool_dir, self._settings.agent)
        node = node_id(self._spool_dir)
        agent, url = self._settings.agent, self._settings.client.collector_url
        self._link = Link(url, self._store, node, agent.join_token_file)
        self._join()
        self._watch = Watch(
            self._spool_dir, self._settings, self._log, token=lambda: self._link.token, start=self._starter.start
        )
        self._cleanliness = cleanliness.Cleanliness(self._log, self._wake)
        self._runs = LocalRuns(self._spool_dir, self._watch.is_given_up, self._cleanliness.is_clean)
        self._shippers = threading.Thread(target=self._watch.run, args=(self._stop,), name="spools", daemon=True)
        self._shippers.start()
        self._sampling = Sampling(self._spool_dir, agent.sample_s, self._log)
        self._conversation = Conversation(self._link, node, agent, self._wake, self._log)
        self._turn()  # what is here is known before anything is told
        retention = Retention(self._spool_dir, self._settings, self._log, may_go=self._may_go, forget=self._cleanliness.forget)
        threading.Thread(target=retention.run, args=(self._stop,), name="retention", daemon=True).start()
        self._sampling.start(self._stop)
        self._conversation.start(self._sampling.newest)
        self._log.info("ready", node_id=node, cluster=self._link.cluster, collector=url, spool=str(self._spool_dir))
        self._notifier.tell(READY, status(self._words()))

    def _join(self) -> None:
        """Joining may wait for a collector that is away; a refusal is a person's matter, and told at once."""
        if self._link.is_member:
            return
        try:
            self._link.join()
        except (CollectorRefused, InputError):
            raise
        except CollectorError as error:
            self._log.warning(f"{error}; this node joins as soon as it can be reached")
        else:
            self._log.info("joined the cluster", cluster=self._link.cluster)

    def _main_loop(self) -> None:
        told_s, words = time.monotonic(), ""
        longest_s = self._notifier.alive_every_s or IDLE_TICK_S
        while not self._stop.is_set():
            try:
                self._turn()
            except Exception as error:  # noqa: BLE001 - one look that fails must not leave the node's runs alone
                self._failed(error)
            now_s, before = time.monotonic(), words
            words = self._words()
            if words != before:
                self._notifier.tell(ALIVE, status(words))
                told_s = now_s
            elif now_s - told_s >= min(longest_s, IDLE_TICK_S):
                self._notifier.tell(ALIVE)
                told_s = now_s
            is_busy = any(not run.is_over for run in self._local)
            self._wake.wait(min(BUSY_TICK_S if is_busy else IDLE_TICK_S, longest_s))
            self._wake.clear()

    def _failed(self, error: Exception) -> None:
        """A look that came to nothing: the spool cannot be read, say. The node tells why it can do nothing."""
        sentence = f"the agent cannot look after its runs: {type(error).__name__}: {error}"
        if sentence != self._failure:
            self._failure = sentence
            self._log.error(sentence)
        if self._conversation.work is not None:
            self._conversation.tell(self._report(self._conversation.work, sentence))

    def _shutdown(self) -> None:
        """Everything that runs goes on; only its shipping pauses until the next agent."""
        self._notifier.tell(STOPPING, status("stopping; the runs go on"))
        self._watch.look()
        report = self._report(self._conversation.work)
        self._conversation.stop(report | {"status": reconcile.LEAVING, "reason": "the agent was stopped"})
        self._shippers.join(SHIPPERS_END_S)
        self._store.unlock()
        self._log.info("stopped", runs=len([run for run in self._local if not run.is_ended]))

    def _turn(self) -> None:
        """One look: what is there, what is to be, and what follows from it."""
        work = self._conversation.work
        self._local = self._runs.look()
        self._forget(work)
        self._remember(work)
        steps = reconcile.steps(self._local, work, self._refused, self._memory.forgotten)
        for key, reason in steps.stop:
            self._end(key, reason)
        if steps.start:
            self._start_all(steps.start)
            self._local = self._runs.look()
        if work is not None:
            self._conversation.tell(self._report(work))
        self._failure = ""

    def _remember(self, work: Work | None) -> None:
        """Before anything is ended: what a restored collector has forgotten is kept, also for the next agent."""
        before, self._memory = self._memory, reconcile.remembered(self._memory, self._local, work)
        for run_id, attempt in self._memory.forgotten - before.forgotten:
            words = "the collector was restored from a backup and does not know the run, which goes on"
            self._log.warning(words, run_id=run_id, attempt=attempt)
        try:
            self._memories.keep(self._memory)
        except OSError as error:  # a full disk: the next look tries again, and until then this agent knows it
            sentence = f"what the collector has forgotten cannot be kept: {error}"
            if sentence != self._unkept:
                self._unkept = sentence
                self._log.warning(sentence)
        else:
            self._unkept = ""

    def _end(self, key: Key, reason: str) -> None:
        try:
            self._runs.stop(key, reason)
        except OSError as error:  # a full disk: the next look asks again
            self._later(key, f"cannot be asked to end: {error}")
        else:
            self._log.info(f"the run is asked to end: {reason}", run_id=key[0], attempt=key[1])

    def _start_all(self, assignments: tuple[Any, ...]) -> None:
        for assignment in assignments:
            key = (str(assignment["run_id"]), int(assignment["attempt"]))
            if self._stop.is_set() or time.monotonic() < self._not_before_s.get(key, 0.0):
                continue
            self._notifier.tell(ALIVE)  # each may wait for the collector
            try:
                self._start(key, assignment)
            except CollectorUnreachable as error:
                self._later(key, str(error))
                return  # the next one would wait for it, too
            except (InputError, CollectorRefused) as error:
                self._refuse(key, error)
            except (OSError, RunyardError) as error:
                self._later(key, str(error))

    def _start(self, key: Key, assignment: Any) -> None:
        if held := reconcile.held_by(self._local, self._memory.forgotten):
            self._later(key, f"waits until {', '.join(held)} is over, which the collector does not know of any more")
            return
        wanted, there = int(assignment["request"].get("gpus") or 0), int(self._sampling.capacity["gpus"])
        gpus = None  # a node of its own, or one without any: whatever there is
        if wanted or (there and not reconcile.is_exclusive(assignment["request"])):
            gpus = reconcile.free_gpus(there, self._local, wanted)
            if gpus is None:
                self._later(key, f"waits until {wanted} GPUs are free: an earlier run still leaves")
                return
        folder = make_spool(assignment, gpus, self._settings, cluster=self._link.cluster, token=self._link.token)
        self._watch.look()
        self._log.info("the run starts", run_id=key[0], attempt=key[1], folder=str(folder))
        self._local = self._runs.look()

    def _refuse(self, key: Key, error: RunyardError) -> None:
        if isinstance(error, CollectorRefused) and (error.code == "not-placed" or error.status in (401, 403)):
            # Given to others since, or canceled: the next word about our work says so. Or our token is about to change.
            self._later(key, str(error))
            return
        self._refused[key] = str(error)
        self._log.warning(f"the run cannot be started here: {error}", run_id=key[0], attempt=key[1])

    def _later(self, key: Key, why: str) -> None:
        self._not_before_s[key] = time.monotonic() + IDLE_TICK_S
        if self._said.get(key) != why:
            self._said[key] = why
            self._log.info(f"not yet: {why}", run_id=key[0], attempt=key[1])

    def _forget(self, work: Work | None) -> None:
        """What was said of assignments that are none any more."""
        if work is not None:
            for known in (self._refused, self._not_before_s, self._said):
                for key in [key for key in known if key not in work.assignments]:
                    del known[key]

    def _report(self, work: Work | None, failure: str = "") -> dict[str, Any]:
        does, reason = reconcile.status(self._local, self._trouble() or failure)
        refused = [{"run_id": key[0], "attempt": key[1], "reason": why[:1000]} for key, why in self._refused.items()]
        return {
            "status": does,
            "reason": reason[:1000],
            "agent_version": __version__,
            "runs": reconcile.told(self._local, work),
            "refused": refused,
            "capacity": self._sampling.capacity,
        }

    def _may_go(self, run_dir: Path) -> bool:
        """Whether a run's folder is of no use any more. One that the collector still counts as this node's would be made, and
        started, anew."""
        work = self._conversation.work
        if work is None or names.attempt_of_dir(run_dir.name) in work.assignments:
            return False
        return self._cleanliness.is_clean(run_dir)

    def _trouble(self) -> str:
        """Why no run can take place on this node; empty where one can."""
        return spool_place.why_unusable(self._spool_dir) or self._cleanliness.trouble or self._sampling.trouble

    def _words(self) -> str:
        """For `systemctl status`."""
        active = len([run for run in self._local if not run.is_over])
        where = f"in cluster {self._link.cluster}" if self._link.is_member else "in no cluster"
        trouble = self._conversation.trouble
        return f"{where}, {active} runs{f'; {trouble}' if trouble else ''}"

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._stop.set()
        self._wake.set()
