"""A real Slurm on one machine, without systemd: munged and slurmctld in the hub, a slurmd in every node's namespace.

`with slurm(site) as cluster:`; `cluster.srun("-N2", …)`. Every node has a disk of its own at `cluster.local_dir`, the same path
everywhere, as /tmp is on real nodes; all else is shared, as a home on NFS is. Needs root and the packages in NEEDED.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.netns_site import Node, Site, needs_namespaces
from tests.waiting import wait_for

NEEDED = "slurmctld slurmd slurm-client munge"
TOOLS = ("slurmctld", "slurmd", "munged", "srun", "sbatch", "scancel", "sinfo", "squeue")
LIMIT_S = 60.0
CONFIGURATION = """\
ClusterName=runyard
SlurmctldHost=hub({hub_ip})
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
CryptoType=crypto/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/slurmd.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=bf_interval=1,sched_interval=1
MpiDefault=none
ReturnToService=2
KillWait=5
MessageTimeout=10
{nodes}
PartitionName=all Nodes={names} Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str:
    """Why there can be no Slurm here; empty where there can."""
    absent = [tool for tool in TOOLS if shutil.which(tool) is None]
    return f"{', '.join(absent)} not installed" if absent else ""


def needs_slurm(test: Any) -> Any:
    """Marks a test that needs Slurm in namespaces."""
    marked = pytest.mark.needs_system(NEEDED)(needs_namespaces(test))
    return pytest.mark.skipif(bool(missing()), reason=missing())(marked)


@dataclass
class Cluster:
    """Slurm over the nodes of a site. Commands run on the hub, as on a login node."""

    site: Site
    folder: Path
    local_dir: Path
    environ: dict[str, str] = field(default_factory=dict)
    slurmd: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)  # by the node's name

    def popen(self, *argv: str, env: Mapping[str, str] = {}, **options: Any) -> subprocess.Popen[bytes]:
        """A command of Slurm's, or one that calls it; the caller ends it."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("RUNYARD_", "SLURM_"))}
        return self.site.hub.popen(argv, env=inherited | self.environ | dict(env), **options)

    def run(self, *argv: str, env: Mapping[str, str] = {}, limit_s: float = LIMIT_S) -> subprocess.CompletedProcess[bytes]:
        """The same to its end, with both outputs caught."""
        process = self.popen(*argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            out, err = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            raise AssertionError(f"{argv} took longer than {limit_s:g} s: {out[-2000:]!r} {err[-2000:]!r}") from None
        return subprocess.CompletedProcess(argv, process.returncode, out, err)

    def local(self, node: Node, path: str = "") -> Path:
        """What a node has on its own disk."""
        return Path(f"/proc/{self.slurmd[node.name].pid}/root{self.local_dir}", path)

    def beside_slurmd(self, node: Node, *argv: str, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """A process on a node that sees the node's own disk, as a service does; the caller ends it."""
        enter = ["nsenter", "--target", str(self.slurmd[node.name].pid), "--mount", "--net", "--uts"]
        whole = {name: value for name, value in os.environ.items() if not name.startswith("RUNYARD_")} | dict(env)
        return subprocess.Popen([*enter, *argv], env=whole, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def is_idle(self) -> bool:
        """Whether every node is up and has nothing to do."""
        states = self.run("sinfo", "-h", "-N", "-o", "%t").stdout.split()
        return len(states) == len(self.slurmd) and set(states) == {b"idle"}


@contextmanager
def slurm(site: Site) -> Iterator[Cluster]:
    """Slurm over all nodes of `site`, ready for jobs; gone after the block, with whatever its jobs have left running."""
    folder = Path(tempfile.mkdtemp(prefix="ry-slurm-"))
    cluster = Cluster(site, folder, folder / "local", {"SLURM_CONF": str(folder / "slurm.conf")})
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        _configure(cluster)
        munged = ["munged", "--foreground", "--force", f"--key-file={folder}/munge.key", f"--socket={folder}/munge.sock"]
        munged += [f"--pid-file={folder}/munged.pid", f"--log-file={folder}/munged.log", f"--seed-file={folder}/munged.seed"]
        stack.callback(_end, _daemon(cluster, site.hub, "munged", munged))
        wait_for((folder / "munge.sock").exists, "munged's socket")
        stack.callback(_end, _daemon(cluster, site.hub, "slurmctld", ["slurmctld", "-D", "-c"]))
        for node in site.nodes:
            disk = f"mount -t tmpfs -o size=256m tmpfs {cluster.local_dir} && exec slurmd -D -c -N {node.name}"
            process = _daemon(cluster, node, f"slurmd.{node.name}", ["unshare", "--mount", "sh", "-c", disk])
            cluster.slurmd[node.name] = process
            stack.callback(_end, process)
        stack.callback(_end_jobs, site)
        wait_for(cluster.is_idle, f"Slurm's nodes, see {folder}", limit_s=LIMIT_S)
        yield cluster


def _configure(cluster: Cluster) -> None:
    nodes = cluster.site.nodes
    for name in ("state", "local", *(f"slurmd.{node.name}" for node in nodes)):
        (cluster.folder / name).mkdir()
    key = cluster.folder / "munge.key"
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o400)
    lines = [f"NodeName={node.name} NodeAddr={node.ip} CPUs=4 RealMemory=4000 State=UNKNOWN" for node in nodes]
    text = CONFIGURATION.format(
        hub_ip=cluster.site.hub.ip,
        folder=cluster.folder,
        nodes="\n".join(lines),
        names=",".join(node.name for node in nodes),
    )
    (cluster.folder / "slurm.conf").write_text(text)


def _daemon(cluster: Cluster, node: Node, name: str, argv: list[str]) -> subprocess.Popen[bytes]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("RUNYARD_", "SLURM_"))}
    with (cluster.folder / f"{name}.out").open("ab") as out:
        return node.popen(argv, env=inherited | cluster.environ, stdin=subprocess.DEVNULL, stdout=out, stderr=out)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _end_jobs(site: Site) -> None:
    """Slurm's step daemons are in sessions of their own, and their jobs below them: whatever is in a node's network is its."""
    deadline_s = time.monotonic() + 10.0
    while time.monotonic() < deadline_s:
        left = [pid for node in site.nodes for pid in pids_in(node)]
        if not left:
            return
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def pids_in(node: Node) -> list[int]:
    """The processes that are in a node's network."""
    done = subprocess.run(["ip", "netns", "pids", node.namespace], capture_output=True, text=True, timeout=30, check=False)
    return [int(word) for word in done.stdout.split()]
