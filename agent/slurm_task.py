"""`runyard run` as one of several tasks of a Slurm step on this node: each echoes its own rank and ends with its exit code.

The first of a node's tasks makes the run's folder, has it shepherded and shipped, and stays until that is done; the others find
the folder in the spool and join it. Reads from the spool; writes to this terminal and, through agent/rank.py, to the spool.
What survives a kill -9 of a task: its rank, which the step's end then ends; what the node has is shipped by whoever adopts it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from runyard import names
from runyard.atomic import read_json
from runyard.errors import InputError, SpoolError
from runyard.settings import Settings

from . import proctree, rank, slurm
from .echo import Echo, echo_until
from .local_run import LocalRun
from .spool import RunSpec
from .wrapper import EXIT_UNKNOWN, Wrapper

LOOK_S = 0.1
# Between two looks for the process of the node's first task, over all of /proc.
LEADER_LOOK_S = 1.0
# Of our own signals, those that are the training's business alone. SIGTERM and SIGINT also are the run's.
_PASSED_ON = (signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


def main(spec: RunSpec, settings: Settings) -> int:
    """Take this task's part in the run; blocks until it is over, returns its rank's exit code."""
    environ = os.environ
    if slurm.is_leader(environ):
        return Leader(spec, settings, slurm.own_rank(environ)).main()
    return Follower(spec, settings, environ).main()


class OwnRank:
    """This task's rank: its capture is a process of its own (agent/rank.py), which is passed our signals."""

    def __init__(self, run_dir: Path, number: int) -> None:
        # Slurm's PMI-2 is a descriptor; whatever else it has opened for the task stays with us.
        inherited = os.environ.get("PMI_FD", "")
        self._process = subprocess.Popen(
            rank.argv(str(run_dir), number),
            cwd="/",
            start_new_session=True,
            pass_fds=[int(inherited)] if inherited.isdigit() else [],
        )

    def pass_on(self, number: int) -> None:
        """Send the signal to the rank, if it is still there."""
        if self._process.poll() is None:
            self._process.send_signal(number)

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self._process.poll() is not None

    def exit_code(self) -> int:
        """How it ended, as a shell tells it. Blocks until it has."""
        code = self._process.wait()
        return 128 - code if code < 0 else code


class Leader(Wrapper):
    """The node's first task: the run's wrapper, and a rank of its own."""

    def __init__(self, spec: RunSpec, settings: Settings, number: int) -> None:
        super().__init__(spec, settings)
        self._rank = number
        self._own: OwnRank | None = None

    def main(self) -> int:
        """Blocks until the run is over on this node and shipped; returns its own rank's exit code."""
        code = super().main()
        own = self._own.exit_code() if self._own else EXIT_UNKNOWN
        # What no task's exit code tells: a phase that failed, a rank that never came, an exit code that is lost.
        is_untold = (self._final_state() or {}).get("exit_code") is None
        return own or (code if is_untold else 0)

    def _startup(self) -> bool:
        is_registered = super()._startup()
        self._own = OwnRank(self._run_dir, self._rank)
        for number in _PASSED_ON:
            signal.signal(number, self._on_own_signal)
        return is_registered

    def _on_own_signal(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self._own:
            self._own.pass_on(number)

    def _pass_on_stop(self) -> None:
        if self._stop_requests > self._stops_passed_on and self._stops_passed_on == 0:
            rank.note_stop(LocalRun(str(self._run_dir)), self._rank, self._stop_number)
        super()._pass_on_stop()

    def _echo(self) -> Echo:
        return _echo(self._run_dir, self._new.description, self._rank)


class Follower:
    """Another of the node's tasks: joins the run that the first one makes."""

    def __init__(self, spec: RunSpec, settings: Settings, environ: Mapping[str, str]) -> None:
        self._run_dir = Path(settings.spool.dir).expanduser().absolute() / spec.run_id
        self._rank = slurm.own_rank(environ)
        self._limit_s = spec.distribution.launch_s
        self._step = {name: environ[name] for name in ("SLURM_JOB_ID", "SLURM_STEP_ID")}
        self._own: OwnRank | None = None
        self._is_over = threading.Event()

    def main(self) -> int:
        """Blocks until the rank is over; returns its exit code."""
        run = self._await_run()
        self._own = OwnRank(self._run_dir, self._rank)
        for number in (*_PASSED_ON, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        # The echo has a thread of its own: a reader of our output that stands still must not keep the signals from the rank.
        echo = threading.Thread(target=self._echo_to_end, args=(run,), name="echo", daemon=True)
        echo.start()
        code = self._own.exit_code()
        self._is_over.set()
        echo.join()
        return code

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self._own:
            self._own.pass_on(number)

    def _await_run(self) -> dict[str, Any]:
        """The run.json of this step's run. Raises InputError and SpoolError."""
        begun_s = looked_s = time.monotonic()
        is_leader_seen = False
        while (run := self._run()) is None:
            now_s = time.monotonic()
            if now_s - looked_s > LEADER_LOOK_S:
                looked_s = now_s
                is_leader_there = bool(proctree.with_environment(*self._leaders_variables()))
                if is_leader_seen and not is_leader_there and self._run() is None:
                    raise SpoolError(f"the first task of this node has ended without making the run's folder {self._run_dir}")
                is_leader_seen |= is_leader_there
            if now_s - begun_s > self._limit_s:
                raise SpoolError(
                    f"the first task of this node has not made the run's folder {self._run_dir} within {self._limit_s:g} s;"
                    " the tasks of a node need the same spool.dir"
                )
            time.sleep(LOOK_S)
        return run

    def _leaders_variables(self) -> list[str]:
        return [*(f"{name}={value}" for name, value in self._step.items()), "SLURM_LOCALID=0"]

    def _run(self) -> dict[str, Any] | None:
        run = read_json(str(self._run_dir / names.RUN_FILE))
        if not isinstance(run, dict):
            return None
        if run["hostname"] != os.uname().nodename:
            raise InputError(
                f"the run's folder {self._run_dir} was made by the node {run['hostname']};"
                " spool.dir has to name a folder of the node's own, as below /tmp"
            )
        # A folder of that name may be left from an earlier step. Until we have started, what ours starts with is there.
        launch = read_json(str(self._run_dir / names.ENVIRONMENT_FILE)) or {"env": {}}
        is_ours = all(launch["env"].get(name) == value for name, value in self._step.items())
        return run if is_ours else None

    def _echo_to_end(self, run: dict[str, Any]) -> None:
        echo_until(self._is_over, _echo(self._run_dir, run, self._rank))


def _echo(run_dir: Path, run: dict[str, Any], number: int) -> Echo:
    return Echo(run_dir, names.driver_log(number, run["world_size"]))
