"""Nodes with addresses of their own on one machine: network namespaces, joined by a bridge in a hub namespace.

`with namespaces(3) as site:` gives site.hub (where a collector runs) and site.nodes. Needs root, iproute2, nftables and
util-linux. Each pytest-xdist worker has a subnet of its own; what is made is removed by name, however the block ended.
A node has its own host name, too. Processes in it see the machine's files, clocks and process ids.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.collector_process import CollectorProcess, running_collector
from tests.relay import relay

TOOLS = ("ip", "nft", "tc", "nsenter", "unshare", "hostname")
NEEDED = "iproute2 nftables util-linux"
_numbers = itertools.count()


def missing() -> str:
    """Why there can be no namespaces here; empty where there can."""
    absent = [tool for tool in TOOLS if shutil.which(tool) is None]
    if absent:
        return f"{', '.join(absent)} not installed"
    return "" if os.getuid() == 0 else "making network namespaces takes root"


# Both marks for a test that needs namespaces.
def needs_namespaces(test: Any) -> Any:
    """Marks a test that needs network namespaces."""
    marked = pytest.mark.needs_system(NEEDED)(test)
    return pytest.mark.skipif(bool(missing()), reason=missing())(marked)


@dataclass
class Node:
    """One namespace. `environ` is put over the environment of everything that is started in it."""

    name: str  # also its host name
    namespace: str
    ip: str
    port: str = ""  # its end of the cable in the hub
    environ: dict[str, str] = field(default_factory=dict)

    def words(self, argv: Sequence[str]) -> list[str]:
        """The command line that runs `argv` in this node."""
        enter = ["nsenter", f"--net=/run/netns/{self.namespace}", "unshare", "--uts"]
        return [*enter, "sh", "-c", f'hostname {self.name}; exec "$@"', "sh", *argv]

    def popen(self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, **options: Any) -> subprocess.Popen[bytes]:
        """A process in this node; the caller ends it. nsenter and unshare become it: its pid is the command's own."""
        whole = dict(os.environ if env is None else env) | self.environ
        return subprocess.Popen(self.words(argv), env=whole, **options)

    def run(self, *argv: str, timeout_s: float = 30.0) -> str:
        """The stdout of a command that has to succeed in this node."""
        done = subprocess.run(self.words(argv), capture_output=True, text=True, timeout=timeout_s, check=False)
        assert done.returncode == 0, f"{argv}: {done.stderr}"
        return done.stdout


@dataclass
class Site:
    """The hub and its nodes."""

    hub: Node
    nodes: list[Node]
    subnet: str

    def partition(self, node: Node) -> None:
        """From now on the node is cut off from everybody: its cable is out."""
        self.hub.run("ip", "link", "set", node.port, "down")

    def heal(self, node: Node) -> None:
        """Put the cable back."""
        self.hub.run("ip", "link", "set", node.port, "up")

    def cut_off(self, node: Node, other: Node) -> None:
        """From now on no packet passes between these two; both reach everybody else."""
        node.run("nft", "add", "table", "inet", "cut")
        for chain, side in (("input", "saddr"), ("output", "daddr")):
            node.run("nft", "add", "chain", "inet", "cut", chain, f"{{ type filter hook {chain} priority 0 ; }}")
            node.run("nft", "add", "rule", "inet", "cut", chain, "ip", side, other.ip, "drop")

    def join(self, node: Node) -> None:
        """The end of what `cut_off` has begun, with whomever."""
        node.run("nft", "delete", "table", "inet", "cut")

    def lossy(self, node: Node, percent: int) -> None:
        """From now on so many of a hundred packets that come to the node are lost; 0 ends it."""
        node.run("nft", "add", "table", "inet", "loss")
        node.run("nft", "flush", "table", "inet", "loss")
        if percent:
            node.run("nft", "add", "chain", "inet", "loss", "input", "{ type filter hook input priority 0 ; }")
            rule = ["iifname", "host0", "numgen", "random", "mod", "100", "<", str(percent), "drop"]
            node.run("nft", "add", "rule", "inet", "loss", "input", *rule)

    def slow(self, node: Node, rate: str) -> None:
        """From now on the node sends no faster than `rate`, as tc writes it (2mbit)."""
        node.run("tc", "qdisc", "replace", "dev", "host0", "root", "tbf", "rate", rate, "burst", "16k", "latency", "500ms")


@contextmanager
def hub_collector(site: Site, folder: Path, *, arguments: tuple[str, ...] = ()) -> Iterator[CollectorProcess]:
    """A real collector in the hub: nodes reach it at its `url`, the test through a relay."""
    arguments = ("--host", site.hub.ip, *arguments)
    with running_collector(folder, arguments=arguments, within=site.hub.words([])) as collector:
        port = int(collector.url.rpartition(":")[2])
        with relay(site.hub.ip, port, within=site.hub.words([])) as url:
            collector.local_url = url
            yield collector


@contextmanager
def namespaces(count: int) -> Iterator[Site]:
    """A hub and `count` nodes; all are gone after the block. Processes in them have to be ended before."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    number = next(_numbers)
    subnet = f"10.77.{(worker * 32 + number % 32) % 256}"
    prefix = f"ry{os.getpid()}-{number}"
    hub = Node("hub", f"{prefix}-hub", f"{subnet}.1")
    nodes = [Node(f"n{k}", f"{prefix}-n{k}", f"{subnet}.{10 + k}", f"v{k}") for k in range(1, count + 1)]
    try:
        _make(hub, nodes)
        yield Site(hub, nodes, f"{subnet}.0/24")
    finally:
        for node in [*nodes, hub]:
            if Path("/run/netns", node.namespace).exists():
                _ip("netns", "del", node.namespace)


def _make(hub: Node, nodes: list[Node]) -> None:
    _ip("netns", "add", hub.namespace)
    _ip("-n", hub.namespace, "link", "set", "lo", "up")
    _ip("-n", hub.namespace, "link", "add", "br0", "type", "bridge")
    _ip("-n", hub.namespace, "addr", "add", f"{hub.ip}/24", "dev", "br0")
    _ip("-n", hub.namespace, "link", "set", "br0", "up")
    for node in nodes:
        _ip("netns", "add", node.namespace)
        _ip("-n", node.namespace, "link", "set", "lo", "up")
        cable = ["type", "veth", "peer", "name", "host0", "netns", node.namespace]
        _ip("link", "add", node.port, "netns", hub.namespace, *cable)
        _ip("-n", hub.namespace, "link", "set", node.port, "master", "br0", "up")
        _ip("-n", node.namespace, "addr", "add", f"{node.ip}/24", "dev", "host0")
        _ip("-n", node.namespace, "link", "set", "host0", "up")


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"
