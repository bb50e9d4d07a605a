"""A training of several ranks that step together over sockets, and one of which fails as it is told: `… FOLDER WAYS`.

FOLDER is where rank 0 tells its port. WAYS is JSON: {"<rank>": {"way": …, …}}; "*" are all others. What a peer's end looks like
to the others is said in the words of gloo and NCCL. Not a test: it is what the runs of test_verdict.py run.
"""

from __future__ import annotations

import atexit
import builtins
import json
import os
import signal
import socket
import sys
import time
import traceback
from pathlib import Path
from typing import Any

RANK = int(os.environ["RUNYARD_RANK"])
WORLD = int(os.environ.get("RUNYARD_WORLD_SIZE", "1"))
FAULT_AT = 3
STEPS = 1000
# How long the others wait for one that hangs; how long they look for rank 0.
TIMEOUT_S = 5.0
MEET_S = 8.0


class Peers:
    """All ranks meet at rank 0, which lets them go on when all have come."""

    def __init__(self, folder: Path, way: dict[str, Any]) -> None:
        self.way = way
        self.sockets: list[socket.socket] = []
        if RANK == 0:
            self._listen(folder)
        else:
            self._connect(folder)
        for one in self.sockets:
            one.settimeout(TIMEOUT_S)

    def _listen(self, folder: Path) -> None:
        server = socket.create_server(("127.0.0.1", 0))
        server.settimeout(MEET_S)
        (folder / "port.new").write_text(str(server.getsockname()[1]))
        (folder / "port.new").rename(folder / "port")
        for _ in range(WORLD - 1):
            try:
                self.sockets.append(server.accept()[0])
            except TimeoutError:
                words = (
                    f"Timed out after {MEET_S:.0f} seconds waiting for clients. {len(self.sockets) + 1}/{WORLD} clients joined."
                )
                raise RuntimeError(words) from None

    def _connect(self, folder: Path) -> None:
        deadline = time.monotonic() + MEET_S
        while not (folder / "port").exists():
            if time.monotonic() > deadline:
                raise RuntimeError(f"wait timeout after {MEET_S * 1000:.0f}ms, keys: /worker/port")
            time.sleep(0.02)
        self.sockets.append(socket.create_connection(("127.0.0.1", int((folder / "port").read_text()))))

    def step(self) -> None:
        """Rank 0 hears all, then answers all."""
        for one in self.sockets:
            if RANK:
                self._send(one)
            self._receive(one)
        for one in self.sockets if RANK == 0 else []:
            self._send(one)

    def _send(self, one: socket.socket) -> None:
        try:
            one.sendall(b"x")
        except OSError as error:
            self._lost(one, error)

    def _receive(self, one: socket.socket) -> None:
        try:
            if one.recv(1):
                return
        except OSError as error:
            self._lost(one, error)
        self._lost(one, None)

    def _lost(self, one: socket.socket, error: OSError | None) -> None:
        seen = self.way.get("sees", "gloo")
        is_late = isinstance(error, TimeoutError)
        if seen == "nccl":
            time.sleep(self.way.get("after_s", 1.0))
            text = (
                f"[rank{RANK}]:[E ProcessGroupNCCL.cpp:616] [Rank {RANK}] Watchdog caught collective operation timeout:"
                " WorkNCCL(SeqNum=120, OpType=ALLREDUCE, NumelIn=1, NumelOut=1, Timeout(ms)=1000) ran for 1045 milliseconds"
                " before timing out.\nterminate called after throwing an instance of 'c10::DistBackendError'\n"
            )
            sys.stderr.write(text)
            sys.stderr.flush()
            os.abort()
        if seen == "wrapped" and error is not None:
            raise RuntimeError("the training step has failed") from error
        if is_late:
            text = f"Timed out waiting {TIMEOUT_S * 1000:.0f}ms for recv operation to complete"
            raise RuntimeError(f"[/pytorch/third_party/gloo/gloo/transport/tcp/unbound_buffer.cc:81] {text}") from None
        if error is not None and seen == "bare":
            raise error
        raise RuntimeError(
            "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:4321"
        )


def fail(way: dict[str, Any]) -> None:
    """Come to the end that was planted."""
    name = way["way"]
    if name == "abort":
        os.abort()
    if name == "exit":
        sys.exit(way["code"])
    if name == "hard-exit":
        os._exit(way["code"])
    if name == "raise":
        kind = type(way["type"], (RuntimeError,), {"__module__": way.get("module", "__main__")})
        raise getattr(builtins, way["type"], kind)(way["message"])
    if name == "signal":  # from a process that is none of the training's own
        if os.fork() == 0:
            os.kill(os.getppid(), way["number"])
            os._exit(0)
        time.sleep(60)
    if name == "segfault":
        import ctypes

        ctypes.string_at(0)
    if name == "memory":
        Path(way["group"], "cgroup.procs").write_text(str(os.getpid()))
        time.sleep(1.2)  # the capture looks twice a second
        held = [bytearray(1 << 20) for _ in range(1 << 14)]
        del held
    if name == "assert":
        loss = float("nan")
        assert loss == loss, f"the loss is {loss}"
    if name == "import":
        __import__("a_module_that_nobody_has")
    if name == "disk":
        with open("/dev/full", "w") as file:  # noqa: PTH123
            file.write("x" * 100_000)
    if name == "hang":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            time.sleep(60)
    if name == "at-exit":
        atexit.register(flush_and_fail)
        sys.exit(0)
    if name == "swallow":
        try:
            print(dict[str, str]()["learning_rate"])
        except KeyError:
            traceback.print_exc()
            sys.exit(1)
    if name == "done":
        sys.exit(0)


def flush_and_fail() -> None:
    """What the last words of a program may be."""
    try:
        raise OSError(5, "Input/output error", "/checkpoints/last.pt")
    except OSError:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(74)


def main() -> None:
    folder, ways = Path(sys.argv[1]), json.loads(sys.argv[2])
    way = ways.get(str(RANK), ways.get("*", {}))
    if way.get("before_meeting"):
        fail(way)
    peers = Peers(folder, way)
    for step in range(STEPS):
        print(f"rank {RANK} step {step}", flush=True)
        if step == FAULT_AT and "way" in way:
            if way.get("together"):  # two at once: at the same half second of the clock
                time.sleep(1.0 - time.monotonic() % 0.5)
            fail(way)
        peers.step()
        time.sleep(0.05)


if __name__ == "__main__":
    main()
