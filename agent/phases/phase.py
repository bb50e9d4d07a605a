"""What every phase works with: the run, its log, its cancellation.

Reads run.json and secrets.json in the spool; writes to the phase's log through descriptors 1 and 2, which a
phase's tools (podman, pip) inherit: the kernel puts what they say into the same file.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from runyard import names, spec
from runyard.agent.journal import stamped
from runyard.agent.log_place import last_words
from runyard.atomic import read_json

from .copying import Copy


class Canceled(BaseException):
    """The run was asked to stop. Raised in the main thread, wherever it is; no `except Exception` catches it."""


class Phase:
    """One phase of one run, in the process that does it. Belongs to the main thread, but for `say`."""

    def __init__(self, run_dir: Path, name: str) -> None:
        self.run_dir = run_dir
        self.name = name
        self.run: dict[str, Any] = read_json(str(run_dir / names.RUN_FILE))
        self.spec = spec.from_json(self.run["spec"] or {})  # the rendezvous takes place without one, too
        # What `env:NAME` may refer to: only the variables that the spec names, of whoever started the run.
        self.environment: dict[str, str] = read_json(str(run_dir / names.SECRETS_FILE)) or {}
        self.cache_dir = Path(self.run["cache_dir"])  # shared by the runs on this node
        self.work_dir = Path(self.run["work_dir"])  # this run's code and data; may be shared between its nodes
        host_log, prep_log = names.execution_log(self.run["node_id"]), names.preparation_log(self.run["node_id"])
        release_log = names.release_log(self.run["node_id"])
        logs = {"preparation": prep_log, "release": release_log, "cleanup": release_log}
        self.log = logs.get(name, host_log)  # name of the log that descriptors 1 and 2 are
        self.told_in = self.log  # where people are shown why the phase failed
        self.copy: Copy | None = None  # what else is written there
        self.is_done = False  # from then on a stop is not this phase's matter
        self.afterwards: Callable[[], None] | None = None  # what this process does once the phase's result is written

    def result(self, phase: str) -> dict[str, Any]:
        """What an earlier phase has come to and handed on; empty where it did not take place."""
        result = read_json(str(self.run_dir / names.phase_dir(phase) / "result.json")) or {}
        data: dict[str, Any] = result.get("data") or {}
        return data

    def log_to(self, name: str) -> None:
        """From now on descriptors 1 and 2, and so all that this process and its tools say, are the log `name`."""
        path = self.run_dir / name
        path.parent.mkdir(mode=names.DIR_MODE, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, names.FILE_MODE)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        os.close(descriptor)
        self.log = self.told_in = name

    def say(self, text: str) -> None:
        """One line with the time to the log; a full disk loses lines here."""
        with suppress(OSError):
            os.write(1, stamped(self.log, text))

    def log_end(self) -> int:
        """The log's size now, in bytes."""
        return os.fstat(1).st_size

    def failure(self, cause: str) -> dict[str, Any]:
        """Say why the phase failed; the result, with the place in the log where that is told, by the tools, too."""
        self.say(f"The phase {self.name} failed: {cause}")
        self._flush()
        start, end = last_words(str(self.run_dir / self.told_in))
        return {"result": "failed", "cause": cause, "log": self.told_in, "start": start, "end": end}

    def _flush(self) -> None:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        if self.copy is not None:
            self.copy.flush()
