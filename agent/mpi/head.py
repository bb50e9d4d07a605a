"""The head node's part of an MPI run: the site's mpirun, captured like a driver.

Its folder is .runyard/proc/mpi, its log 70_mpi_log.txt. Reads environment.json and what the rendezvous has come to; writes
launcher_ended.json. What survives a kill -9 of the shepherd: mpirun, its capture and its exit code. Standard library only.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from typing import Any

from runyard import names
from runyard.agent import capture, meeting, proctree
from runyard.agent.capture_fork import fork_capture
from runyard.agent.launched import launcher_ended
from runyard.agent.local_run import LocalRun
from runyard.agent.outcome import first_failed
from runyard.agent.process import Process
from runyard.agent.stop import new_stop
from runyard.atomic import read_json, write_bytes, write_json

from . import command, words
from .ended import PLACE
from .forked import become_child

# After a capture that died: what cannot live must not take a core.
PAUSE_S = 0.5
# Of mpirun's log, so much is looked through from its start, and so much from its end.
LOOK_BYTES = 256 << 10


class MpirunProcess(Process):
    """mpirun, as a process of the run that has no rank."""

    def __init__(self, local: LocalRun) -> None:
        super().__init__(local.run_dir, local.run, local.run["ranks"][0])
        self.rank, self.name, self.log = PLACE, "mpirun", names.MPI_LOG
        self.directory = local.path(names.process_dir(PLACE))


class MpirunCapture(capture.Capture):
    """The capture of mpirun. Ranks that outlive it become the shepherd's children, which notes how they end."""

    adopts = False

    def give_up(self, cause: str) -> None:
        """mpirun will not be started: say why, also in its log."""
        os.write(self._log.driver_out, f"runyard: {cause}\n".encode())
        super().give_up(cause)


class Head:
    """The head node's part: mpirun."""

    def __init__(self, local: LocalRun, lock: int) -> None:
        self.process = MpirunProcess(local)
        self._local = local
        self._lock = lock
        self._is_noted = False

    @property
    def is_over(self) -> bool:
        """Whether mpirun has ended, and what it wrote is in its log."""
        return self.process.is_over

    def step(self) -> None:
        """Look at mpirun; start it, or take note of its end."""
        process = self.process
        process.refresh()
        if process.is_over:
            self._note_end()
        elif process.is_captured and not process.is_driver_there:
            cause = "mpirun's exit code is lost: its capture was killed, and the shepherd that could have taken over was, too"
            capture.write_exit(process.directory, exit_code=None, signal_number=None, cause=cause)
        elif not process.is_captured and not process.capture_pid and time.monotonic() >= process.next_capture_s:
            self._start()

    def reaped(self, pid: int) -> bool:
        """Whether `pid`, which has ended and is not reaped yet, was mpirun or its capture."""
        process = self.process
        if process.capture_pid == pid:
            process.capture_pid = 0
            return True
        process.refresh()
        if process.started and process.started["pid"] == pid and process.is_driver_there:
            capture.record_exit(process.directory, pid)
            return True
        return False

    @property
    def is_there(self) -> bool:
        """Whether mpirun could get a signal now."""
        return bool(self.process.started and self.process.is_driver_there)

    def ask_stop(self, number: int) -> None:
        """Have mpirun end every rank on every node."""
        if self.process.started and self.process.is_driver_there:
            proctree.send([self.process.started["pid"]], number)

    def kill(self) -> None:
        """SIGKILL to mpirun: its parts on other nodes end their ranks when they see it gone."""
        self.ask_stop(signal.SIGKILL)

    def last_word(self, word: dict[str, Any], processes: list[Process]) -> dict[str, Any]:
        """The outcome of this node, where mpirun has something to say to it: `word` is what the ranks' exits have come to."""
        stop, exit_ = self._local.stop(), self.process.exit or {}
        is_asked = stop is not None and not stop.get("is_failure")
        if exit_.get("exit_code") == 0 or is_asked or (word["status"] == "Failed" and _is_ranks_own(processes, exit_)):
            return word
        said = self._said()
        place = {"log": names.MPI_LOG, "start": said.start, "end": said.end} if said else self._last_lines()
        cause = said.cause if said else _how(exit_)
        if said and said.is_of_rank:  # of another node, which tells it better
            cause = f"mpirun says: {cause}"
        how = {"exit_code": exit_.get("exit_code"), "signal": exit_.get("signal")}
        return word | place | how | {"status": "Failed", "cause": cause}

    def _said(self) -> words.Words | None:
        return words.read(_ends_of(self._local.path(names.MPI_LOG)))

    def _last_lines(self) -> dict[str, Any]:
        from runyard.agent.log_place import last_words

        start, end = last_words(self._local.path(names.MPI_LOG))
        return {"log": names.MPI_LOG, "start": start, "end": end}

    def _note_end(self) -> None:
        """Once: nobody starts ranks any more; the others are told, who may never have heard of mpirun."""
        if self._is_noted:
            return
        self._is_noted = True
        exit_, said = self.process.exit or {}, self._said()
        how = said.cause if said else _how(exit_)
        self._local.host.say(f"mpirun has ended: {how}." if exit_.get("exit_code") else "mpirun has ended well.")
        cause = f"it was not started: {how}"
        launcher_ended(self._local.run_dir, cause)
        if exit_.get("exit_code") != 0 and (said is None or not said.is_of_rank):
            self._end_ranks(how, exit_["mono_ns"])
        others = (meeting.of(self._local.run_dir, self._local.run) or {}).get("members", [])[1:]
        if exit_.get("exit_code") != 0 and others:
            self._say_farewell(others, cause)

    def _end_ranks(self, cause: str, since_mono_ns: int) -> None:
        """mpirun has failed, and not because of a rank: how its ranks end from then on is no failure of theirs."""
        folders = [self._local.path(names.process_dir(rank)) for rank in self._local.run["ranks"]]
        if any(os.path.exists(os.path.join(folder, "started.json")) for folder in folders) and self._local.stop() is None:
            stop = new_stop(signal.SIGTERM, self._local.run["grace_s"], cause, is_failure=True)
            write_json(self._local.path(names.STOP_FILE), stop | {"asked_mono_ns": since_mono_ns}, durable=False)

    def _say_farewell(self, others: list[dict[str, Any]], cause: str) -> None:
        secret = (meeting.of(self._local.run_dir, self._local.run) or {})["secret"]
        if os.fork() == 0:
            try:
                os.close(self._lock)
                become_child()
                from . import farewell

                farewell.say(others, secret, cause)
            except BaseException:  # noqa: BLE001 - this fork must never go on as a second shepherd
                sys.excepthook(*sys.exc_info())
            finally:
                os._exit(0)

    def _start(self) -> None:
        """Fork a capture: for mpirun to be started, or for one that runs already."""
        process = self.process
        lock = capture.take_lock(self._local.run_dir, PLACE)
        if lock is None:
            return  # its capture lives, and goes on without us
        try:
            process.refresh()
            launch = read_json(self._local.path(names.ENVIRONMENT_FILE))
            cause = self._why_not(launch) if process.started is None else ""
            process.next_capture_s = time.monotonic() + PAUSE_S
            process.capture_pid = fork_capture(self._lock, lambda: self._capture(launch or {}, cause))
        finally:  # as in agent/drivers.py
            os.close(lock)

    def _why_not(self, launch: dict[str, Any] | None) -> str:
        if self.process.exit is not None:  # an earlier capture said why, and died before its log was final
            return str(self.process.exit["cause"])
        if self._local.stop():
            return "the run was asked to stop before mpirun was started"
        if launch is None:
            return "mpirun was never started: what it needs is gone from the spool"
        return command.why_not()

    def _capture(self, launch: dict[str, Any], cause: str) -> None:
        """In the forked child: the life of the capture."""
        life = MpirunCapture(self._local.run_dir, self._local.run, PLACE, names.MPI_LOG)
        if self.process.started is not None:
            life.resume(self.process.started)
        elif cause:
            life.give_up(cause)
        else:
            self._prepare(launch)
            if not shutil.which(command.MPIRUN, path=launch["env"].get("PATH")):
                life.give_up("mpirun is not in the run's PATH; an MPI run needs Open MPI on each of its nodes")
            else:
                life.start(launch, stdin=0)

    def _prepare(self, launch: dict[str, Any]) -> None:
        """Make of what the ranks are started with what mpirun is."""
        if self._local.spec:
            from runyard.agent.driver_launch import apply

            apply(launch, self._local)
        launch["env"] = command.environment(launch["env"], self._local.run_dir, is_root=os.getuid() == 0)
        distribution = self._local.run["distribution"]
        members = [{"ip": command.LOCAL, "processes": len(self._local.run["ranks"])}]
        if distribution["node_count"] > 1:
            members = (meeting.of(self._local.run_dir, self._local.run) or {})["members"]
        is_hydra = _is_hydra(launch["env"])
        if is_hydra:
            launch["env"]["HYDRA_LAUNCHER_EXEC"] = self._write_agent()
        launch["argv"] = command.argv(members, distribution["mpi_args"], is_hydra=is_hydra)
        self._local.host.say(f"Starting mpirun: {' '.join(launch['argv'])}")

    def _write_agent(self) -> str:
        """A program that is our agent: Hydra wants one without arguments; its path."""
        path = os.path.join(self.process.directory, "remote_start")
        write_bytes(path, command.AGENT_SCRIPT, durable=False)
        os.chmod(path, 0o700)
        return path


def _how(exit_: dict[str, Any]) -> str:
    if exit_.get("signal"):
        return f"mpirun was killed by {proctree.describe_signal(exit_['signal'])}"
    return exit_.get("cause") or f"mpirun ended with exit code {exit_.get('exit_code')}"


def _is_ranks_own(processes: list[Process], mpirun: dict[str, Any]) -> bool:
    """Whether the first process that failed here did so before mpirun: then it is the cause, and mpirun only tells of it."""
    exits = [process.exit for process in processes if process.exit and process.started]
    first = first_failed(exits)
    return first is not None and first["mono_ns"] < mpirun.get("mono_ns", 0)


def _is_hydra(env: dict[str, str]) -> bool:
    """Whether the run's mpirun is MPICH's or one of its kin."""
    try:
        done = subprocess.run([command.MPIRUN, "--version"], env=env, capture_output=True, timeout=20.0, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False  # its start says what is wrong
    return b"HYDRA" in done.stdout


def _ends_of(path: str) -> bytes:
    # The middle is left out where it is long; NULs stand for it, so that places stay right.
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            data = file.read(LOOK_BYTES)
            if size <= 2 * LOOK_BYTES:
                return data + file.read()
            file.seek(size - LOOK_BYTES)
            return data + bytes(size - 2 * LOOK_BYTES) + file.read(LOOK_BYTES)
    except OSError:
        return b""
