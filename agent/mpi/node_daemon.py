"""The daemon of a node that is not the head of its MPI run, in sshd's place: runs what mpirun's remote-start agent asks for.

Started by the node's shepherd, in a session of its own; its output is the 55 log. Listens on the port that this node's
rendezvous took; each connection is served by a process of its own (agent/mpi/session.py), so that the daemon's death ends
nothing that runs. Ends when the launcher or the run has ended on this node. Holds .runyard/proc/mpi/node.lock while it lives.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import socket
import sys
import time
from typing import Any, NoReturn

from runyard import names
from runyard.agent.launch import is_over
from runyard.agent.local_run import LocalRun

from .ended import LOCK_FILE, folder, has_ended
from .session import serve

TICK_S = 0.2
# The port was free when the node joined; who has it now may be about to let it go.
PORT_PATIENCE_S = 10.0


class NodeDaemon:
    """Listens until the launcher has ended here."""

    def __init__(self, local: LocalRun, member: dict[str, Any], secret: str) -> None:
        self._local = local
        self._member = member
        self._secret = secret
        self._children: set[int] = set()

    def main(self) -> None:
        """Blocks until the launcher or the run has ended on this node, and every connection with it."""
        with self._listen() as listener:
            self._local.host.say(f"Waiting for mpirun on {self._member['ip']}, port {self._member['port']}.")
            while not (has_ended(self._local.run_dir) or is_over(self._local.run_dir)):
                if select.select([listener], [], [], TICK_S)[0]:
                    self._accept(listener)
                self._reap()
        while self._children:
            self._reap()
            time.sleep(TICK_S)

    def _listen(self) -> socket.socket:
        deadline_s = time.monotonic() + PORT_PATIENCE_S
        while True:
            try:
                return socket.create_server((self._member["ip"], int(self._member["port"])), backlog=16)
            except OSError:
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(TICK_S)

    def _accept(self, listener: socket.socket) -> None:
        connection, (ip, *_) = listener.accept()
        pid = os.fork()
        if pid == 0:
            listener.close()
            self._serve(connection, ip)
        self._children.add(pid)
        connection.close()

    def _serve(self, connection: socket.socket, ip: str) -> NoReturn:
        code = 1
        try:
            serve(self._local, connection, ip, self._secret)
            code = 0
        except BaseException:  # noqa: BLE001 - this fork must never go on as a second daemon
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(code)

    def _reap(self) -> None:
        while self._children:
            pid, _ = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            self._children.discard(pid)


def main(run_dir: str, lock: int) -> None:
    """Entry point of the process; `lock` is the descriptor that holds its lock."""
    from runyard.agent.meeting import of

    os.set_inheritable(lock, False)
    os.umask(0o077)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    local = LocalRun(run_dir)
    data = of(run_dir, local.run) or {}
    rank = local.run["distribution"]["node_rank"]
    try:
        NodeDaemon(local, data["members"][rank], data["secret"]).main()
    except OSError as error:
        local.host.say(f"This node cannot be reached by mpirun: port {data['members'][rank]['port']} cannot be taken: {error}")
        raise SystemExit(1) from None


def take_lock(run_dir: str) -> int | None:
    """A descriptor that holds the daemon's lock, to be inherited by it, or None where a daemon lives."""
    os.makedirs(folder(run_dir), mode=names.DIR_MODE, exist_ok=True)
    lock = os.open(os.path.join(folder(run_dir), LOCK_FILE), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, names.FILE_MODE)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock
