"""podman and a registry of the tests' own: storage, configuration and port are theirs alone, and nothing of it is left.

The fixture `podman_site` is one for the session; a module that wants it imports it from here. `environ` is what a process needs
so that its podman works here. Images are built FROM scratch on a root file system that holds busybox alone.
"""

from __future__ import annotations

import http.client
import os
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.waiting import wait_for

NEEDED = ("podman", "docker-registry", "runc", "busybox")
APPLETS = (
    "sh",
    "cat",
    "echo",
    "sleep",
    "ls",
    "env",
    "id",
    "true",
    "false",
    "mkdir",
    "touch",
    "seq",
    "head",
    "tail",
    "date",
    "kill",
)

# The host's network: sites beside each other would share a bridge and its addresses. runc and cgroupfs work on every kind of
# cgroups; the default limits are beyond what a container may raise them to on small machines.
_CONTAINERS_CONF = """
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
tmp_dir = "{folder}/tmp"
[containers]
netns = "host"
default_ulimits = ["nofile=20000:20000", "nproc=20000:20000"]
[network]
network_backend = "netavark"
network_config_dir = "{folder}/networks"
"""
_REGISTRIES_CONF = """
unqualified-search-registries = []
short-name-mode = "disabled"
[[registry]]
location = "{registry}"
insecure = true
[[registry]]
location = "{other_registry}"
insecure = true
"""
_STORAGE_CONF = """
[storage]
driver = "overlay"
graphroot = "{folder}/graph"
runroot = "{folder}/run"
"""
_REGISTRY_YML = """
version: 0.1
log: {{level: warn}}
storage:
  filesystem: {{rootdirectory: {folder}/registry}}
  delete: {{enabled: true}}
http: {{addr: {registry}}}
"""


class PodmanSite:
    """A folder with podman's storage in it, and a registry beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.registry, self.other_registry = (f"127.0.0.1:{port}" for port in _free_ports(2))  # nobody starts the other one
        self._process: subprocess.Popen[bytes] | None = None
        values = {"folder": folder, "registry": self.registry, "other_registry": self.other_registry}
        for name, text in (
            ("containers.conf", _CONTAINERS_CONF),
            ("registries.conf", _REGISTRIES_CONF),
            ("storage.conf", _STORAGE_CONF),
            ("registry.yml", _REGISTRY_YML),
        ):
            (folder / name).write_text(text.format(**values))
        (folder / "networks").mkdir()
        (folder / "auth.json").write_text("{}\n")  # podman refuses one that is named and is not there

    @property
    def environ(self) -> dict[str, str]:
        """What has to be in the environment of a process whose podman should work here."""
        return {
            "CONTAINERS_CONF": str(self.folder / "containers.conf"),
            "CONTAINERS_REGISTRIES_CONF": str(self.folder / "registries.conf"),
            "CONTAINERS_STORAGE_CONF": str(self.folder / "storage.conf"),
            "REGISTRY_AUTH_FILE": str(self.folder / "auth.json"),
        }

    def start_registry(self) -> None:
        """Start the registry, on the same port and with the same images each time."""
        if self._process is not None:
            return
        with (self.folder / "registry.log").open("ab") as log:
            self._process = subprocess.Popen(
                ["docker-registry", "serve", str(self.folder / "registry.yml")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_for(self._answers, "the registry's start")

    def stop_registry(self) -> None:
        """End the registry; its images stay on disk."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def _answers(self) -> bool:
        try:
            return self._request("GET", "/v2/") == 200
        except OSError:
            return False

    def _request(self, method: str, path: str) -> int:
        connection = http.client.HTTPConnection(self.registry, timeout=5)
        try:
            connection.request(method, path)
            return connection.getresponse().status
        finally:
            connection.close()

    def forget(self, repository: str, digest: str) -> None:
        """Remove an image from the registry."""
        assert self._request("DELETE", f"/v2/{repository}/manifests/{digest}") == 202

    def podman(self, *arguments: str, check: bool = True) -> str:
        """Run podman in this site; its stdout."""
        done = subprocess.run(
            ["podman", *arguments], env=os.environ | self.environ, capture_output=True, text=True, check=False, timeout=100
        )
        assert not check or done.returncode == 0, f"podman {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def builds(self) -> int:
        """How often podman has built an image here so far; builds that failed do not count."""
        said = self.podman("events", "--stream=false", "--filter", "event=build")
        return len(re.findall(r" image build [0-9a-f]{64}\b", re.sub(r" +", " ", said)))

    def containers(self) -> list[str]:
        """Ids of all containers there are, also those in which images are built."""
        return self.podman("ps", "--all", "--external", "--quiet").split()

    def mounts(self) -> list[str]:
        """Where something is mounted below the site's folder, but for podman's own storage folder."""
        places = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        return [place for place in places if place.startswith(f"{self.folder}/") and not place.endswith("/graph/overlay")]

    def push_new(self, name: str, context: Path, *steps: str) -> str:
        """Build an image with these steps and push it as `<registry>/<name>`; its digest. The node does not keep it."""
        make_context(context, *steps)
        full = f"{self.registry}/{name}"
        self.podman("build", "--tag", full, str(context))
        self.podman("push", "--digestfile", str(context / "digest"), full)
        self.podman("rmi", "--force", full)
        return (context / "digest").read_text()

    def close(self) -> None:
        """End and remove everything."""
        self.podman("rm", "--all", "--force", "--time=0", check=False)
        for container in self.containers():
            self.podman("rm", "--force", container, check=False)
        self.stop_registry()
        for place in sorted([*self.mounts(), str(self.folder / "graph/overlay")], reverse=True):
            subprocess.run(["umount", place], capture_output=True, check=False)
        left = self.mounts()
        shutil.rmtree(self.folder, ignore_errors=bool(left))
        assert not left, f"still mounted: {left}"


def make_rootfs(folder: Path) -> None:
    """A root file system with busybox under the names of its applets, and nothing else."""
    for name in ("bin", "etc", "tmp", "proc", "sys", "dev", "root"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    busybox = shutil.which("busybox")
    assert busybox is not None
    shutil.copy(busybox, folder / "bin/busybox")
    for applet in APPLETS:
        if not (folder / "bin" / applet).is_symlink():
            (folder / "bin" / applet).symlink_to("busybox")
    (folder / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")


def make_context(folder: Path, *steps: str) -> Path:
    """A build's context: a root file system and a Containerfile that copies it and goes on with `steps`; the latter's path."""
    make_rootfs(folder / "rootfs")
    containerfile = folder / "Containerfile"
    containerfile.write_text("\n".join(["FROM scratch", "COPY rootfs /", "ENV PATH=/bin", *steps]) + "\n")
    return containerfile


def missing(programs: Sequence[str] = NEEDED) -> str:
    """Which of the programs are not installed, as a reason to skip; empty where all are."""
    absent = [program for program in programs if not shutil.which(program)]
    return f"needs_system({' '.join(absent)}): not installed" if absent else ""


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


@pytest.fixture(scope="session")
def podman_site() -> Iterator[PodmanSite]:
    """podman and a registry, started, for all tests of the session."""
    if reason := missing():
        pytest.skip(reason)
    # A short path, and not below pytest's own folder: pytest keeps that, and container storage is large.
    site = PodmanSite(Path(tempfile.mkdtemp(prefix="podman-site-")))
    try:
        site.start_registry()
        yield site
    finally:
        site.close()


@contextmanager
def docker_engine(folder: Path, registry: str) -> Iterator[dict[str, str]]:
    """A docker engine of its own, ended at the block's end; what has to be in the environment of its clients."""
    socket_path = folder / "docker.sock"
    argv = ["dockerd", f"--data-root={folder}/docker", f"--exec-root={folder}/docker-exec", f"--pidfile={folder}/docker.pid"]
    argv += [f"--host=unix://{socket_path}", "--bridge=none", "--iptables=false", f"--insecure-registry={registry}"]
    # Limits of its containers that also a machine can give which may not raise its own.
    argv += ["--default-ulimit=nofile=20000:20000"]
    environ = {"DOCKER_HOST": f"unix://{socket_path}", "DOCKER_CONFIG": str(folder)}
    with (folder / "docker.log").open("wb") as log:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        look = ["docker", "version", "--format", "{{.Server.Version}}"]
        wait_for(
            lambda: subprocess.run(look, env=os.environ | environ, capture_output=True, check=False).returncode == 0,
            "the docker engine's start",
        )
        yield environ
    finally:
        process.terminate()
        process.wait(30)
