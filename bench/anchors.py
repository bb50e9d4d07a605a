"""The bare pairs that shipping is measured against: two Python processes and a loopback socket, with no promise kept but one.

`plain`: sendfile -> recv_into + write, no acknowledgements.
`framed`: a 16-byte header and 1 MiB by sendfile, a window of 8, fdatasync before each acknowledgement.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

PLAIN_RECEIVER = """
import os, socket, sys
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
peer, _ = server.accept()
buffer = memoryview(bytearray(256 << 10))
out = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
while count := peer.recv_into(buffer):
    os.write(out, buffer[:count])
"""
PLAIN_SENDER = """
import os, socket, sys
peer = socket.create_connection(("127.0.0.1", int(sys.argv[2])))
source = os.open(sys.argv[1], os.O_RDONLY)
offset, size = 0, os.fstat(source).st_size
while offset < size:
    offset += os.sendfile(peer.fileno(), source, offset, size - offset)
"""
FRAMED_RECEIVER = """
import os, socket, struct, sys
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
peer, _ = server.accept()
peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
buffer = memoryview(bytearray(256 << 10))
out = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
def exactly(count):
    data = b""
    while len(data) < count:
        more = peer.recv(count - len(data))
        if not more:
            return b""
        data += more
    return data
while header := exactly(16):
    offset, left = struct.unpack(">QQ", header)
    while left:
        count = peer.recv_into(buffer, min(left, len(buffer)))
        os.write(out, buffer[:count])
        left -= count
    os.fdatasync(out)
    peer.sendall(struct.pack(">Q", offset))
"""
FRAMED_SENDER = """
import os, socket, struct, sys
peer = socket.create_connection(("127.0.0.1", int(sys.argv[2])))
peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
source = os.open(sys.argv[1], os.O_RDONLY)
offset, size, unacknowledged = 0, os.fstat(source).st_size, 0
def acknowledge():
    left = 8
    while left:
        left -= len(peer.recv(left))
while offset < size or unacknowledged:
    if offset < size and unacknowledged < 8:
        end = min(size, offset + (1 << 20))
        peer.sendall(struct.pack(">QQ", offset, end - offset))
        while offset < end:
            offset += os.sendfile(peer.fileno(), source, offset, end - offset)
        unacknowledged += 1
    else:
        acknowledge()
        unacknowledged -= 1
"""


@dataclass(frozen=True, slots=True)
class Pair:
    """CPU of both sides together, and wall time from the sender's start to the receiver's end."""

    cpu_s: float
    wall_s: float


def plain(source: Path, target: Path) -> Pair:
    """The bare pair without acknowledgements."""
    return _pair(PLAIN_SENDER, PLAIN_RECEIVER, source, target)


def framed(source: Path, target: Path) -> Pair:
    """The framed pair with fdatasync before each acknowledgement."""
    return _pair(FRAMED_SENDER, FRAMED_RECEIVER, source, target)


def _pair(sender: str, receiver: str, source: Path, target: Path) -> Pair:
    python = [sys.executable, "-I", "-S", "-c"]
    receiving = subprocess.Popen([*python, receiver, str(target)], stdout=subprocess.PIPE)
    assert receiving.stdout is not None
    port = receiving.stdout.readline().decode().strip()
    begun = time.perf_counter()
    sending = subprocess.Popen([*python, sender, str(source), port])
    cpu_s = 0.0
    for process in (sending, receiving):
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        cpu_s += usage.ru_utime + usage.ru_stime
    wall_s = time.perf_counter() - begun
    receiving.stdout.close()
    assert target.stat().st_size == source.stat().st_size
    target.unlink()
    return Pair(cpu_s, wall_s)
