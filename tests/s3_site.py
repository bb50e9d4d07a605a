"""A real S3 server for tests: Ceph's gateway above one monitor and one store that keeps its objects in memory.

`with running_s3(folder) as site:`. It needs ceph-mon, ceph-osd, radosgw and ceph-common of the system. All of it lies below
the folder and listens on ports of its own at 127.0.0.1; each daemon is a child of this process and ended by its pid.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.waiting import wait_for

TOOLS = ("ceph", "ceph-authtool", "monmaptool", "ceph-mon", "ceph-osd", "radosgw", "radosgw-admin")
START_LIMIT_S = 60.0
STOP_LIMIT_S = 5.0
MEMORY_BYTES = 1 << 30

CONFIGURATION = """
[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{v2_port}/0,v1:127.0.0.1:{v1_port}/0]
mon initial members = a
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd crush chooseleaf type = 0
osd objectstore = memstore
memstore device bytes = {memory_bytes}
mon allow pool size one = true
mon warn on pool no redundancy = false
mon max pg per osd = 1000
paxos propose interval = 0.05
run dir = {folder}
admin socket = {folder}/$name.asok
log file = {folder}/$name.log
keyring = {folder}/keyring
mon data = {folder}/mon
osd data = {folder}/osd
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:{port}
rgw data = {folder}/rgw
rgw thread pool size = 32
"""


@dataclass(frozen=True, slots=True)
class S3Site:
    """Where the server is, and the account that may do everything there."""

    endpoint: str
    key: str
    secret: str


def missing_tool() -> str:
    """The first program that is needed and not installed; empty where all are there."""
    return next((tool for tool in TOOLS if shutil.which(tool) is None), "")


@contextmanager
def running_s3(folder: Path) -> Iterator[S3Site]:
    """The server, ready to take requests; all its daemons are gone at the end of the block."""
    folder.mkdir(parents=True)
    v2_port, v1_port, port = _free_ports(3)
    fsid = str(uuid.uuid4())
    text = CONFIGURATION.format(
        fsid=fsid, v2_port=v2_port, v1_port=v1_port, port=port, folder=folder, memory_bytes=MEMORY_BYTES
    )
    (folder / "ceph.conf").write_text(text)
    cluster = _Cluster(folder)
    try:
        cluster.start_monitor(fsid, v2_port, v1_port)
        cluster.start_store()
        site = S3Site(f"http://127.0.0.1:{port}", "TESTKEY", secrets.token_hex(20))
        cluster.start_gateway(site, port)
        yield site
    finally:
        cluster.stop()


class _Cluster:
    """The daemons, in the order of their start."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._daemons: list[subprocess.Popen[bytes]] = []
        self._environ = os.environ | {"CEPH_CONF": str(folder / "ceph.conf")}
        for name in ("mon", "osd", "rgw"):
            (folder / name).mkdir()

    def start_monitor(self, fsid: str, v2_port: int, v1_port: int) -> None:
        """The monitor, with the keys of everybody."""
        keyring, monmap = str(self._folder / "keyring"), str(self._folder / "monmap")
        self._run("ceph-authtool", "--create-keyring", keyring, "--gen-key", "-n", "mon.", "--cap", "mon", "allow *")
        everything = ("--cap", "mon", "allow *", "--cap", "osd", "allow *")
        for name in ("client.admin", "client.rgw", "osd.0"):
            self._run("ceph-authtool", keyring, "--gen-key", "-n", name, *everything)
        address = f"[v2:127.0.0.1:{v2_port},v1:127.0.0.1:{v1_port}]"
        self._run("monmaptool", "--create", "--addv", "a", address, "--fsid", fsid, monmap)
        self._run("ceph-mon", "--mkfs", "-i", "a", "--monmap", monmap, "--keyring", keyring)
        self._start("ceph-mon", "-f", "-i", "a")

    def start_store(self) -> None:
        """The one store. The monitor knows its key from the keyring."""
        identity = str(uuid.uuid4())
        self._run("ceph", "osd", "new", identity)
        self._run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", identity)
        self._start("ceph-osd", "-f", "-i", "0")

    def start_gateway(self, site: S3Site, port: int) -> None:
        """The gateway and its one account."""
        self._start("radosgw", "-f", "-n", "client.rgw")
        account = ("--uid=tester", "--display-name=tester", f"--access-key={site.key}", f"--secret={site.secret}")
        self._run("radosgw-admin", "-n", "client.rgw", "user", "create", *account)
        wait_for(lambda: _accepts(port) or self._has_ended(), "the gateway takes connections", limit_s=START_LIMIT_S)
        assert not self._has_ended(), f"one of the daemons ended; their words:\n{self._words()}"

    def stop(self) -> None:
        """End every daemon, the last one first. They keep nothing that would be worth a soft end."""
        for daemon in reversed(self._daemons):
            daemon.send_signal(signal.SIGKILL)
            daemon.wait(STOP_LIMIT_S)

    def _start(self, *command: str) -> None:
        with (self._folder / f"{command[0]}.out").open("wb") as out:
            daemon = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=self._environ)
        self._daemons.append(daemon)

    def _run(self, *command: str) -> None:
        result = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=START_LIMIT_S, env=self._environ, check=False
        )
        assert result.returncode == 0, f"{' '.join(command[:2])} ended with {result.returncode}: {result.stderr.decode()}"

    def _has_ended(self) -> bool:
        return any(daemon.poll() is not None for daemon in self._daemons)

    def _words(self) -> str:
        return "".join(path.read_text(errors="replace")[-2000:] for path in sorted(self._folder.glob("*.out")))


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1.0).close()
    except OSError:
        return False
    return True
