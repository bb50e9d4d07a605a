"""One connection of a node's daemon: proves who is there, runs the one command that is asked for, tells what became of it.

A process of its own, forked by agent/mpi/node_daemon.py. The command (Open MPI's orted, Hydra's proxy) gets this node's
environment of the run, as a login would give it the node's. It ends with the connection, and the connection with it. Reads
environment.json; writes launcher_ended.json.
"""

from __future__ import annotations

import os
import pwd
import select
import signal
import socket
import subprocess
import time
from typing import Any

from runyard import names
from runyard.agent import proctree
from runyard.agent.launch import is_over
from runyard.agent.launched import launcher_ended
from runyard.agent.local_run import LocalRun
from runyard.atomic import read_json

from . import command
from .ended import has_ended
from .link import ERR, EXIT, OUT, Link, LinkError

# After SIGTERM orted ends its ranks, which takes it two seconds.
GRACE_S = 10.0
TICK_S = 0.1
LOOK_S = 2.0
# What a command prints at its end is waited for so long: a process that it left behind may hold its pipes.
LAST_OUTPUT_S = 1.0
FAREWELL_S = 5.0
_SHELLS = frozenset(("bash", "csh", "dash", "ksh", "sh", "tcsh", "zsh"))


def serve(local: LocalRun, connection: socket.socket, ip: str, secret: str) -> None:
    """Answer one connection. Blocks until it is over."""
    with connection:
        link = Link(connection, secret)
        try:
            request = link.answer()
        except (LinkError, OSError) as error:
            local.host.say(f"A connection from {ip} was refused: {error}.")
            return
        if "ended" in request:
            launcher_ended(local.run_dir, str(request["ended"]))
            link.tell(EXIT, b"0")
            return
        code = Session(local, link).run(str(request["command"]))
        _await_farewell(local.run_dir)
        launcher_ended(local.run_dir, f"mpirun's part on this node ended before it started this rank: exit code {code}")


class Session:
    """A command, and the link to whoever asked for it."""

    def __init__(self, local: LocalRun, link: Link) -> None:
        self._local = local
        self._link = link
        self._is_linked = True
        self._asked_s = 0.0  # when the command was asked to end
        self._looked_s, self._was_over = time.monotonic(), False

    def run(self, text: str) -> int:
        """Run it to its end; returns its exit code. Blocks."""
        launch = read_json(self._local.path(names.ENVIRONMENT_FILE))
        if launch is None or self._local.stop() is not None:
            why = "the run is over" if launch is None else "the run was asked to stop"
            self._tell(ERR, f"runyard: nothing is started on node {self._local.run['node_ip']}: {why} there\n".encode())
            self._tell(EXIT, b"255")
            return 255
        process = self._start(text, launch)
        self._local.host.say(f"mpirun starts its part on this node: process {process.pid}.")
        self._pass_on(process)
        code = process.wait()
        code = code if code >= 0 else 128 - code
        self._local.host.say(f"mpirun's part on this node has ended: exit code {code}.")
        self._tell(EXIT, str(code).encode())
        return code

    def _start(self, text: str, launch: dict[str, Any]) -> subprocess.Popen[bytes]:
        if self._local.spec:
            from runyard.agent.driver_launch import apply

            apply(launch, self._local)
        return subprocess.Popen(
            [_shell(), "-c", text],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=launch["cwd"],
            env=command.environment(launch["env"], self._local.run_dir, is_root=os.getuid() == 0),
            start_new_session=True,
        )

    def _pass_on(self, process: subprocess.Popen[bytes]) -> None:
        """Tell what it prints until it has ended; end it where nobody listens any more."""
        assert process.stdout is not None
        assert process.stderr is not None
        kinds = {process.stdout.fileno(): OUT, process.stderr.fileno(): ERR}
        poller = select.poll()
        for descriptor in (*kinds, self._link.socket.fileno()):
            poller.register(descriptor, select.POLLIN)
        ended_s = 0.0
        while kinds or process.poll() is None:
            for descriptor, _ in poller.poll(TICK_S * 1000):
                data = _read(descriptor, self._link.socket)
                if data and descriptor in kinds:
                    self._tell(kinds[descriptor], data)
                elif not data:
                    poller.unregister(descriptor)
                    self._is_linked = kinds.pop(descriptor, 0) != 0 and self._is_linked
            if process.poll() is not None:
                ended_s = ended_s or time.monotonic()
                if time.monotonic() > ended_s + LAST_OUTPUT_S:
                    return
            elif not self._is_linked or self._is_over():
                self._end(process)

    def _is_over(self) -> bool:
        """Whether the run has ended on this node: then nothing of it is to stay."""
        if time.monotonic() > self._looked_s + LOOK_S:
            self._looked_s, self._was_over = time.monotonic(), is_over(self._local.run_dir)
        return self._was_over

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        """The head is gone, or has let go: ask the command to end, and make it."""
        number = signal.SIGTERM
        if self._asked_s:
            if time.monotonic() < self._asked_s + GRACE_S:
                return
            number = signal.SIGKILL
            proctree.send(proctree.descendants(process.pid), signal.SIGTERM)  # ranks, which pass it on
        self._asked_s = self._asked_s or time.monotonic()
        proctree.send_group(process.pid, number)

    def _tell(self, kind: int, data: bytes) -> None:
        try:
            self._link.tell(kind, data)
        except OSError:
            self._is_linked = False


def _await_farewell(run_dir: str) -> None:
    """The head knows better why mpirun has ended; where it says nothing, all may be well."""
    deadline_s = time.monotonic() + FAREWELL_S
    while time.monotonic() < deadline_s and not (has_ended(run_dir) or is_over(run_dir)):
        time.sleep(TICK_S)


def _read(descriptor: int, link: socket.socket) -> bytes:
    try:
        return link.recv(4096) if descriptor == link.fileno() else os.read(descriptor, 1 << 16)
    except OSError:
        return b""


def _shell() -> str:
    """The user's shell, whose words mpirun's command is made of; where that is none, the system's."""
    try:
        shell = pwd.getpwuid(os.getuid()).pw_shell
    except KeyError:  # a container without a passwd entry
        shell = ""
    return shell if os.path.basename(shell) in _SHELLS and os.access(shell, os.X_OK) else "/bin/sh"
