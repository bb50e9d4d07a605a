"""The tracking server of a run on this node, as the shepherd sees it: its port, the variables that lead to it, its process.

The shepherd listens on 127.0.0.1 before any driver starts; the server (agent/loopback/) is started when the first connection
waits, and again where it died, while the shepherd keeps the listening socket. Reads and writes .runyard/loopback.json (the
port) and .runyard/loopback.lock, whose flock the living server holds. What survives a kill -9 of the shepherd: the server,
which has the socket, too; the next shepherd leaves it alone, and binds the port again once it is gone. Whatever becomes of all
this, the training goes on. Standard library only, and little of that.
"""

from __future__ import annotations

import _socket as socket  # without the enums around it, whose import costs 8 ms
import fcntl
import os
import select
import sys
import time

from runyard import names
from runyard.atomic import read_json, write_json

from . import capture_fork, proctree
from .local_run import LocalRun

TYPE_CHECKING = False  # importing typing would cost the start of every run 5 ms
if TYPE_CHECKING:
    import signal
    from typing import Any
else:
    import _signal as signal  # without the enums around it, whose import costs 8 ms

HOST = "127.0.0.1"
# A server that dies so often within a short life each is not started again: nobody may wait for it for ever.
MOST_DEATHS = 5
SHORT_LIFE_S = 30.0
# How long a server has to answer what it was asked before the drivers ended, and to end.
END_S = 10.0
# Between two looks whether a server that another shepherd has started still lives.
LOOK_S = 0.5
_BACKLOG = 128

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_MAIN = "import sys; sys.path.append(sys.argv[1]); from runyard.agent.loopback.main import main; main(*sys.argv[2:])"

URI_VARIABLE = "MLFLOW_TRACKING_URI"
# Of the user's own these would lead elsewhere, or say who they are in another place.
_REPLACED = ("MLFLOW_EXPERIMENT_ID", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_AUTH")
_PROXIES = ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")


class LoopbackStart:
    """The port and the process. `open` before a driver starts, `step` while they run, `end` until it says True."""

    def __init__(self, local: LocalRun) -> None:
        self._local = local
        self._listening: Any = None
        self._poll: Any = None
        self._pid = 0  # 0: not our child
        self._begun_s = 0.0
        self._deaths = 0
        self._next_look_s = 0.0
        self._ended_s = 0.0  # when it was asked to end
        self._is_killed = self._is_told = False

    def open(self, *, may_move: bool = False) -> None:
        """Listen, and write the port down. Where that cannot be: said in the system log, and no variables are set.

        `may_move`: no driver knows the port yet. If another program has got it by now, no token may be brought there.
        """
        path = self._local.path(names.LOOPBACK_FILE)
        known = read_json(path)
        port, lock = int(known["port"]) if isinstance(known, dict) else 0, -1
        try:
            lock = self._free_lock()
            if lock < 0:
                return  # a server that another shepherd has started has the socket
            try:
                self._listen(port)
            except OSError:
                if not (may_move and port):
                    raise
                port = 0
                self._close()
                self._listen(port)
            if not port:
                write_json(path, {"port": self._listening.getsockname()[1]}, durable=False)
        except OSError as error:
            self._close()
            if not self._is_told:
                self._is_told = True
                self._local.log.error(f"what MLflow records will not come to this run: no port on {HOST}: {error}", port=port)
        finally:
            if lock >= 0:
                os.close(lock)

    def step(self) -> None:
        """Start the server where somebody waits for it and none lives."""
        if self._pid or self._ended_s:
            return
        if self._listening is None:
            if time.monotonic() >= self._next_look_s:
                self._next_look_s = time.monotonic() + LOOK_S
                if os.path.exists(self._local.path(names.LOOPBACK_FILE)):
                    self.open()
            return
        if not self._poll.poll(0):
            return
        if self._deaths < MOST_DEATHS:
            self._start()
        else:
            from .loopback_refusal import refuse

            refuse(self._listening)

    def reaped(self, pid: int) -> bool:
        """Whether `pid`, which has ended, was the server."""
        if pid != self._pid:
            return False
        self._pid = 0
        if self._ended_s:
            return True
        self._deaths = self._deaths + 1 if time.monotonic() - self._begun_s < SHORT_LIFE_S else 1
        self._local.log.warning("the tracking server has died; it is started again when somebody asks for it", pid=pid)
        if self._deaths >= MOST_DEATHS:
            self._local.log.error(
                f"the tracking server has died {MOST_DEATHS} times, and is given up; see {names.SHEPHERD_ERRORS}"
            )
        return True

    def end(self) -> bool:
        """Ask the server to answer what it has been asked and to end; True when it is gone. Does not wait."""
        self._close()
        if not self._ended_s:
            self._ended_s = time.monotonic()
            self._send(signal.SIGTERM)
        if not self._pid:
            lock = self._free_lock() if os.path.exists(self._local.path(names.LOOPBACK_LOCK)) else None
            if lock is None or lock >= 0:
                if lock is not None:
                    os.close(lock)
                return True
        if not self._is_killed and time.monotonic() > self._ended_s + END_S:
            self._is_killed = True
            self._local.log.error(f"the tracking server did not end within {END_S:.0f} s and is killed")
            self._send(signal.SIGKILL)
        return False

    def _listen(self, port: int) -> None:
        self._listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listening.bind((HOST, port))
        self._listening.listen(_BACKLOG)
        self._listening.setblocking(False)
        self._poll = select.poll()
        self._poll.register(self._listening.fileno(), select.POLLIN)
        capture_fork.SHEPHERDS_OWN.add(self._listening.fileno())  # a capture that kept it would keep the port after us

    def _close(self) -> None:
        if self._listening is not None:
            capture_fork.SHEPHERDS_OWN.discard(self._listening.fileno())
            self._listening.close()
            self._listening = None

    def _free_lock(self) -> int:
        """The lock's descriptor where no server lives, -1 where one does."""
        lock = os.open(self._local.path(names.LOOPBACK_LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, names.FILE_MODE)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return -1
        return lock

    def _start(self) -> None:
        lock = self._free_lock()
        if lock < 0:
            return
        self._begun_s = time.monotonic()
        try:
            self._pid = os.fork()
            if self._pid == 0:
                self._become_server(lock)
        finally:
            os.close(lock)

    def _send(self, number: int) -> None:
        pid = self._pid
        if not pid:  # one that another shepherd has started
            try:
                with open(self._local.path(names.LOOPBACK_LOCK)) as file:
                    pid, ticks = (int(word) for word in file.read().split())
            except (OSError, ValueError):
                return
            if not proctree.is_running(pid, ticks):
                return
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass

    def _become_server(self, lock: int) -> None:
        """In the forked child: become the server's process. Never returns."""
        try:
            os.setsid()
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            os.ftruncate(lock, os.pwrite(lock, f"{os.getpid()} {proctree.start_ticks(os.getpid())} ".encode(), 0))
            os.set_inheritable(lock, True)
            os.set_inheritable(self._listening.fileno(), True)
            nowhere = os.open(os.devnull, os.O_RDWR)
            os.dup2(nowhere, 0)
            os.dup2(nowhere, 1)
            argv = [sys.executable, "-I", "-c", _MAIN, _ROOT, self._local.run_dir, str(self._listening.fileno())]
            os.execve(sys.executable, argv, dict(os.environ))  # noqa: S606
        except BaseException:  # noqa: BLE001 - this fork must never go on as a second shepherd
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(127)


def add_variables(env: dict[str, str], local: LocalRun, rank: int) -> None:
    """Put into `env`, in place, what leads MLflow in the driver `rank` to this run, unless its user leads it elsewhere."""
    if not local.run.get("mlflow"):
        return
    if env.get(URI_VARIABLE):
        local.log.info(f"MLflow is left alone: {URI_VARIABLE} is set by the run's user", rank=rank)
        return
    known = read_json(local.path(names.LOOPBACK_FILE))
    if not isinstance(known, dict):
        return
    for name in _REPLACED:
        env.pop(name, None)
    env.setdefault("MLFLOW_EXPERIMENT_NAME", local.run["experiment"])
    env |= {
        URI_VARIABLE: f"http://{HOST}:{known['port']}",
        "MLFLOW_RUN_ID": local.run["run_id"].replace(".", "-"),  # clients take no dot; loopback/known.py
        "MLFLOW_TRACKING_TOKEN": local.run["run_token"],
    }
    if any(env.get(name) for name in _PROXIES):  # none of them is a way to this node's own 127.0.0.1
        kept = env.get("no_proxy") or env.get("NO_PROXY") or ""
        env["no_proxy"] = f"{kept},{HOST}" if kept else HOST
