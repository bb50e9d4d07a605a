"""One rank of a run, in a process that somebody else's launcher has started for it: a Slurm task, a child of mpirun's daemon.

This process is the rank's capture: the driver is its child, so that what the launcher binds (control groups, cores, sockets of
PMI) and the signals that it sends stay natural. Reads state.json, stop.json and environment.json; writes what capture.py does.
What survives its kill -9: the driver, until the shepherd takes over its capture and asks it to end (agent/launched.py).
Standard library only.
"""

from __future__ import annotations

import os
import resource
import sys
import time

from runyard import names
from runyard.atomic import read_json

from . import capture, proctree
from .journal import SystemLog
from .local_run import LocalRun

TYPE_CHECKING = False  # as in capture.py
if TYPE_CHECKING:
    import signal
    from collections.abc import Mapping
    from typing import Any
else:
    import _signal as signal

# Without a shepherd for so long, nobody will say any more that the driver may start.
SHEPHERD_PATIENCE_S = 60.0
# A signal for a whole step may reach the driver a moment before us: whose death it is, is told after so long.
SAME_DEATH_S = 0.1
# It may also reach us twice, once through the task above us.
SAME_SIGNAL_S = 0.5
LOOK_S = 0.05
FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
# What a launcher tells its processes and what it gives them; a process that it starts has its own, whatever the node's has.
LAUNCHER_PREFIXES = ("SLURM_", "SLURMD_", "OMPI_", "OPAL_", "ORTE_", "PRTE_", "PMI_", "PMIX_", "PMI2_", "HYDI_", "HYDRA_",
                     "MPI_", "MPIR_", "MPICH_", "I_MPI_", "MV2_", "UCX_", "OMP_", "GOMP_", "KMP_")  # fmt: skip
LAUNCHER_VARIABLES = frozenset((
    "PMI", "CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL", "ZE_AFFINITY_MASK",
    "NVIDIA_VISIBLE_DEVICES",
))  # fmt: skip
SLURM, MPIRUN = "slurm", "mpirun"  # runyard/distribution.py has it, too; importing that would bring dataclasses along
EXIT_NOT_STARTED = 1

# The package's folder: as the shepherd, a rank starts without site-packages.
_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_MAIN = (
    "import gc; gc.disable(); import sys; sys.path.append(sys.argv[1]); "
    "from runyard.agent.rank import main; main(sys.argv[2], int(sys.argv[3]))"
)


def argv(run_dir: str, rank: int) -> list[str]:
    """The command that a launcher is given for the rank; it ends as the driver does, by a signal where it was one."""
    return [sys.executable, "-I", "-S", "-c", _MAIN, _ROOT, os.path.abspath(run_dir), str(rank)]


def run_rank(run_dir: str, rank: int, extra_environment: Mapping[str, str]) -> int:
    """Wait until the shepherd is ready, start the rank's driver and capture it to its end. Blocks; returns its exit code.

    `extra_environment` comes before whatever else the driver is given. What this process is bound to, the driver inherits.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)  # until there is a driver that they can be passed on to
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))  # the user's limit is the driver's, which gets it back
    os.umask(0o077)
    local = LocalRun(run_dir)
    if rank not in local.run["ranks"]:
        raise ValueError(f"rank {rank} is none of this node's ranks {local.run['ranks']}")
    cause = _why_no_turn(local, rank)
    lock = capture.take_lock(run_dir, rank)
    if lock is None:
        _say(local, rank, "another process has started it, or is about to")
        return EXIT_NOT_STARTED
    directory = local.path(names.process_dir(rank))
    launch = read_json(local.path(names.ENVIRONMENT_FILE))
    if os.path.exists(os.path.join(directory, "started.json")) or os.path.exists(os.path.join(directory, "exit.json")):
        cause = (read_json(os.path.join(directory, "exit.json")) or {}).get("cause") or "it was started before"
        _say(local, rank, cause)
        return EXIT_NOT_STARTED
    if not cause and launch is None:
        cause = "what it needs is gone from the spool"
    life = Joined(local, rank)
    if cause:
        _say(local, rank, cause)
        life.give_up(cause)
    else:
        life.start(_prepared(launch, local, rank, extra_environment), stdin=0)
    return _exit_code(directory)


class Joined(capture.Capture):
    """The capture of a rank that a launcher has started: passes the launcher's signals on to the driver."""

    def __init__(self, local: LocalRun, rank: int) -> None:
        super().__init__(local.run_dir, local.run, rank, names.driver_log(rank, local.run["world_size"]))
        self._local = local
        self._driver: tuple[int, int | None] = (0, None)
        self._passed_on: dict[int, float] = {}  # when each signal was

    def _write_started(self, pid: int, **more: Any) -> dict[str, Any]:
        started = super()._write_started(pid, **more)
        self._driver = (pid, started["start_ticks"])
        for number in FORWARDED:
            signal.signal(number, self._forward)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)
        return started

    def _forward(self, number: int, frame: Any) -> None:
        del frame
        pid, ticks = self._driver
        note_stop(self._local, self._rank, number)
        now_s = time.monotonic()
        if now_s - self._passed_on.get(number, -SAME_SIGNAL_S) < SAME_SIGNAL_S:
            return
        self._passed_on[number] = now_s
        if proctree.start_ticks(pid) == ticks:
            proctree.send_group(pid, number)

    def _until_gone(self, pid: int, is_there: Any = None) -> None:
        super()._until_gone(pid, is_there)
        if is_there is not None:
            return
        status = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
        if status is not None and status.si_code != os.CLD_EXITED and status.si_status in FORWARDED:
            time.sleep(SAME_DEATH_S)


def _why_no_turn(local: LocalRun, rank: int) -> str:
    """Wait until the shepherd has come to the driver phase; returns why the driver is not to start, empty where it is."""
    seen_s = time.monotonic()
    while True:
        state = read_json(local.path(names.STATE_FILE)) or {}
        stop = local.stop()
        if stop is not None:
            return f"the run was asked to stop before it was started: {stop['reason']}"
        if state.get("phase") == "release" or state.get("ended_ns"):
            return "the run is over on this node before it was started"
        if state.get("phase") == "driver":
            return ""
        pid = state.get("shepherd_pid")
        if isinstance(pid, int) and state.get("boot_id") == proctree.boot_id() and proctree.start_ticks(pid) is not None:
            seen_s = time.monotonic()
        elif time.monotonic() - seen_s > SHEPHERD_PATIENCE_S:
            return f"the run's shepherd is gone from this node, for {SHEPHERD_PATIENCE_S:.0f} s"
        got = signal.sigtimedwait(FORWARDED, LOOK_S)
        if got is not None:
            note_stop(local, rank, got.si_signo)
            return f"its launcher sent it {proctree.describe_signal(got.si_signo)} before it was started"


def note_stop(local: LocalRun, rank: int, number: int) -> None:
    """Note that Slurm ends the step: somebody has cancelled it, or one of its tasks has failed, which is no cancel.

    mpirun does so of itself only where something has failed, here or on another node: who cancels asks the shepherd first.
    """
    launcher = (local.run.get("distribution") or {}).get("launcher")
    if launcher == MPIRUN and number == signal.SIGTERM:
        local.ask_stop(number, f"mpirun has ended rank {rank}: another one has failed", is_failure=True)
    if number not in (signal.SIGTERM, signal.SIGINT) or launcher != SLURM:
        return
    exits = [read_json(os.path.join(local.path(names.process_dir(other)), "exit.json")) for other in local.run["ranks"]]
    is_failure = any(exit_ and exit_["exit_code"] != 0 for exit_ in exits)
    reason = f"Slurm sent {proctree.describe_signal(number)} to the task of rank {rank}"
    local.ask_stop(number, reason, is_failure=is_failure)


def _prepared(launch: dict[str, Any], local: LocalRun, rank: int, extra: Mapping[str, str]) -> dict[str, Any]:
    """What the driver is started with: what the run has, what the phases have set, then what the launcher and `extra` say."""
    from .driver_launch import complete
    from .loopback_start import add_variables

    complete(launch, local, rank)
    add_variables(launch["env"], local, rank)
    given = {
        name: value for name, value in os.environ.items() if name.startswith(LAUNCHER_PREFIXES) or name in LAUNCHER_VARIABLES
    }
    launch["env"] |= given | dict(extra)
    return launch


def _exit_code(directory: str) -> int:
    code = (read_json(os.path.join(directory, "exit.json")) or {}).get("exit_code")
    return EXIT_NOT_STARTED if code is None else int(code)


def _say(local: LocalRun, rank: int, cause: str) -> None:
    SystemLog(local.path(names.SYSTEM_LOG), "runyard.rank").error(f"the driver of rank {rank} is not started: {cause}")
    print(f"runyard: rank {rank} is not started: {cause}", file=sys.stderr, flush=True)


def end_like(run_dir: str, rank: int, code: int) -> None:
    """End this process as the driver has ended, so that the launcher can say so. Never returns."""
    exit_ = read_json(os.path.join(run_dir, names.process_dir(rank), "exit.json")) or {}
    number = exit_.get("signal")
    if number and number not in (signal.SIGSTOP, signal.SIGTSTP):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the driver's core is the one that counts
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
        os.kill(os.getpid(), number)
    os._exit(code)


def main(run_dir: str, rank: int) -> None:
    """Entry point of the process. Never returns."""
    try:
        code = run_rank(run_dir, rank, {})
    except BaseException as error:  # noqa: BLE001 - the launcher needs an exit code, and people one sentence
        print(f"runyard: rank {rank} cannot be captured in {run_dir}: {error!r}", file=sys.stderr, flush=True)
        os._exit(EXIT_NOT_STARTED)
    end_like(run_dir, rank, code)
