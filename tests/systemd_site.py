"""Nodes that systemd has booted, on one machine: systemd-nspawn in the network namespaces of tests/netns_site.py.

`with booted(2) as machines:`; `machines[0].run("systemctl", …)`. All of them share one root file system, made by
tools/make_rootfs.sh, and write over it in memory of their own. Needs root and the packages in NEEDED.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests import netns_site
from tests.netns_site import Node, namespaces
from tests.waiting import wait_for

NEEDED = "systemd-container mmdebstrap iproute2 nftables util-linux"
ROOT = Path(__file__).parents[1]
ROOTFS = ROOT / ".cache/rootfs"
ENVIRON = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/root"}
# A mount namespace of its own, in which there is only the second version of cgroups, as on today's machines. What a node writes
# lies in memory: all that is mounted is gone with the namespace, and nothing has to be removed from a disk.
BOOT = """\
set -eu
lower=$1 folder=$2 group=/sys/fs/cgroup/$3 name=$4
shift 4
mount -t tmpfs -o mode=755 tmpfs "$folder"
mkdir -p "$folder/upper/etc" "$folder/work" "$folder/root"
echo "$name" > "$folder/upper/etc/hostname"
mount -t overlay overlay -o "lowerdir=$lower,upperdir=$folder/upper,workdir=$folder/work" "$folder/root"
umount -R /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
mkdir -p "$group"
echo $$ > "$group/cgroup.procs"
exec systemd-nspawn "$@"
"""
OPTIONS = (
    *("--quiet", "--boot", "--register=no", "--keep-unit", "--console=pipe"),
    *("--resolv-conf=off", "--timezone=off", "--link-journal=no"),
    *("--capability=CAP_NET_ADMIN,CAP_SYS_PTRACE", "--system-call-filter=@keyring"),
)


def missing() -> str:
    """Why no node can be booted here; empty where one can."""
    absent = [tool for tool in ("systemd-nspawn", "mmdebstrap") if shutil.which(tool) is None]
    return f"{', '.join(absent)} not installed" if absent else netns_site.missing()


# The marks of a module whose tests need booted nodes; where one worker has them all, the package is built once.
NEEDS_NODES = [
    pytest.mark.needs_system(NEEDED),
    pytest.mark.skipif(bool(missing()), reason=missing()),
    pytest.mark.xdist_group("systemd"),
]


def needs_systemd_nodes(test: Any) -> Any:
    """The same for one test."""
    for mark in NEEDS_NODES:
        test = mark(test)
    return test


@dataclass
class Machine:
    """One booted node. `run` is what root would do in a shell there; it has no part in systemd's view of services."""

    node: Node
    folder: Path
    process: subprocess.Popen[bytes]
    init_pid: int = 0  # as this machine counts

    @property
    def ip(self) -> str:
        """Its address."""
        return self.node.ip

    def path(self, path: str) -> Path:
        """A file of this node, for the test to read."""
        return Path(f"/proc/{self.init_pid}/root", path.lstrip("/"))

    def words(self, *argv: str) -> list[str]:
        """The command line that runs `argv` in this node."""
        return ["nsenter", "--target", str(self.init_pid), "--all", "--root", "--wd=/", *argv]

    def popen(self, *argv: str, env: dict[str, str] | None = None, **options: Any) -> subprocess.Popen[bytes]:
        """A process in this node; the caller ends it."""
        return subprocess.Popen(self.words(*argv), env=ENVIRON | (env or {}), **options)

    def attempt(self, *argv: str, env: dict[str, str] | None = None, limit_s: float = 60.0) -> subprocess.CompletedProcess[str]:
        """A command in this node, to its end, however that is."""
        whole = ENVIRON | (env or {})
        return subprocess.run(
            self.words(*argv), env=whole, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=limit_s, check=False
        )

    def run(self, *argv: str, env: dict[str, str] | None = None, limit_s: float = 60.0) -> str:
        """The stdout of a command that has to succeed in this node."""
        done = self.attempt(*argv, env=env, limit_s=limit_s)
        assert done.returncode == 0, f"{argv} on {self.node.name}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def property(self, unit: str, name: str) -> str:
        """A property of a unit, as systemd knows it."""
        return self.run("systemctl", "show", "--value", "--property", name, unit).strip()

    def journal(self, unit: str) -> str:
        """What the journal has of a unit."""
        return self.run("journalctl", "--unit", unit, "--output=cat", "--no-pager")

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Put a file there."""
        target = self.path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(mode)


@contextmanager
def booted(count: int) -> Iterator[list[Machine]]:
    """So many nodes whose systemd says that they run; all is gone after the block."""
    made = subprocess.run(["sh", "tools/make_rootfs.sh", str(ROOTFS)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    with namespaces(count) as site, ExitStack() as stack:
        machines = [stack.enter_context(_machine(node)) for node in site.nodes]
        hosts = "".join(f"{machine.ip} {machine.node.name}\n" for machine in machines)
        for machine in machines:
            wait_for(lambda machine=machine: _is_up(machine), f"{machine.node.name} has booted")  # type: ignore[misc]
            machine.write("/etc/hosts", f"127.0.0.1 localhost\n{hosts}")
        yield machines


@contextmanager
def _machine(node: Node) -> Iterator[Machine]:
    """A node whose boot has begun."""
    folder = Path(tempfile.mkdtemp(prefix="runyard-node-"))
    nspawn = [*OPTIONS, f"--machine={node.namespace}", f"--uuid={uuid.uuid4()}"]
    nspawn += [f"--directory={folder}/root", f"--network-namespace-path=/run/netns/{node.namespace}"]
    argv = ["unshare", "--mount", "--propagation", "private", "sh", "-c", BOOT, "sh"]
    argv += [str(ROOTFS), str(folder), node.namespace, node.name]
    with (folder / "console.log").open("wb") as console:
        process = subprocess.Popen(
            [*argv, *nspawn], stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True
        )
    machine = Machine(node, folder, process)
    try:
        yield machine
    finally:
        _cut_power(machine)
        _remove_cgroups(node.namespace)
        shutil.rmtree(folder, ignore_errors=True)


def _is_up(machine: Machine) -> bool:
    console = (machine.folder / "console.log").read_text(errors="replace")
    assert machine.process.poll() is None, f"{machine.node.name} does not boot:\n{console[-4000:]}"
    if not machine.init_pid:
        with suppress(psutil.Error):
            children = psutil.Process(machine.process.pid).children()
            machine.init_pid = next((child.pid for child in children if child.name() == "systemd"), 0)
    if not machine.init_pid:
        return False
    return machine.attempt("systemctl", "is-system-running").stdout.strip() in ("running", "degraded")


def _cut_power(machine: Machine) -> None:
    with suppress(psutil.Error):
        for child in psutil.Process(machine.process.pid).children():
            os.kill(child.pid, signal.SIGKILL)
    try:
        machine.process.wait(10)
    except subprocess.TimeoutExpired:
        machine.process.kill()
        machine.process.wait()


def _remove_cgroups(name: str) -> None:
    for mount in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup"):
        top = Path(mount, name)
        if not top.is_dir():
            continue
        for folder, _, _ in os.walk(top, topdown=False):
            with suppress(OSError):
                Path(folder).rmdir()
