"""The bar of the service: a run on two booted nodes, while agents are restarted, killed, and upgraded with their collector."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.systemd_site import NEEDS_NODES, Machine, booted
from tests.waiting import wait_for

AGENT, COLLECTOR = "runyard-agent.service", "runyard-collector.service"
TALKER = Path(__file__).with_name("talker.py")
pytestmark = [*NEEDS_NODES, pytest.mark.timeout(300)]


@dataclass
class Lab:
    """A cluster: two machines with the agent, of which the first has the collector, too."""

    machines: list[Machine]
    environ: dict[str, str]

    def words(self, *words: str) -> str:
        """The stdout of a command of a user on the first machine."""
        return self.machines[0].run("runyard", *words, env=self.environ)

    def json(self, *words: str) -> Any:
        """What it prints as JSON."""
        return json.loads(self.words(*words, "-o", "json"))

    def statuses(self) -> list[str]:
        """Of all nodes, as a user sees them."""
        return [node["status"] for node in self.json("nodes")["nodes"]]


@pytest.fixture
def lab(package: Path) -> Iterator[Lab]:
    """Made as docs/install.md says, by the package alone."""
    with booted(2) as machines:
        for machine in machines:
            shutil.copyfile(package, machine.path("/root/runyard.deb"))
        together(machines, "dpkg", "--force-unsafe-io", "--install", "/root/runyard.deb")
        first = machines[0]
        first.run("runyard", "service", "install", "collector", "--host", "0.0.0.0")
        url = f"http://{first.ip}:8750"
        token = first.path("/var/lib/runyard-collector/admin.token").read_text().strip()
        lab = Lab(machines, {"RUNYARD_COLLECTOR_URL": url, "RUNYARD_TOKEN": token})
        join_token = lab.words("clusters", "token", "lab", "--uses", "2")
        for machine in machines:
            machine.write("/root/join.token", join_token, 0o600)
        join = ["runyard", "service", "install", "agent", "--collector", url, "--join-token-file", "/root/join.token"]
        together(machines, *join)
        yield lab


def together(machines: list[Machine], *argv: str) -> None:
    """The same command on all of them at once."""
    started = [machine.popen(*argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for machine in machines]
    said = [process.communicate(timeout=90)[0].decode() for process in started]
    assert [process.returncode for process in started] == [0] * len(started), said


def said(machine: Machine, rank: int) -> bytes:
    """What the training on this machine has said so far."""
    path = machine.path(f"/srv/talk/said.{rank}")
    return path.read_bytes() if path.exists() else b""


def agent_pid(machine: Machine) -> str:
    return machine.property(AGENT, "MainPID")


def is_active(machine: Machine, unit: str) -> bool:
    return machine.property(unit, "ActiveState") == "active"


def step_two_machines_have_joined_and_their_agents_are_services(lab: Lab) -> None:
    wait_for(lambda: lab.statuses() == ["Idle", "Idle"], "both nodes are idle")
    for machine in lab.machines:
        assert "in cluster lab" in machine.property(AGENT, "StatusText")
        assert machine.run("stat", "-c", "%U %a", "/var/lib/runyard/agent/credentials.json").split() == ["root", "600"]
        # What an agent mounts for a run is there for the next agent, too.
        namespaces = {machine.run("readlink", f"/proc/{pid}/ns/mnt") for pid in ("1", agent_pid(machine))}
        assert len(namespaces) == 1


def step_a_run_on_two_nodes_outlives_restarts_an_upgrade_and_a_kill_of_its_agents(
    lab: Lab, newer_package: Path, tmp_path: Path
) -> None:
    first = lab.machines[0]
    for machine in lab.machines:
        machine.run("install", "-d", "-m", "777", "/srv/talk")
        machine.write("/srv/talk/talker.py", TALKER.read_text())
    shutil.copyfile(newer_package, first.path("/root/newer.deb"))
    flags = ["--cluster", "lab", "--nodes", "2", "--distribution", "pytorch", "--run-id", "talk-1", "--follow"]
    with (tmp_path / "followed").open("wb") as out:
        follower = first.popen(
            "runyard",
            "submit",
            *flags,
            "--",
            "/usr/bin/python3",
            "/srv/talk/talker.py",
            env=lab.environ,
            stdout=out,
            stderr=out,
        )
        try:
            run_it_through_trouble(lab)
            code = follower.wait(60)
        finally:
            follower.kill()
            follower.wait()
    assert code == 7, (tmp_path / "followed").read_text(errors="replace")[-3000:]
    ended_well(lab)


def run_it_through_trouble(lab: Lab) -> None:
    first, second = lab.machines
    wait_for(lambda: has_moved(lab, 500), "both ranks talk", limit_s=60)
    pids = {machine.node.name: driver_pid(machine) for machine in lab.machines}
    assert all(user_of(machine, pids[machine.node.name]) == "runyard-run" for machine in lab.machines)
    agents = [agent_pid(machine) for machine in lab.machines]
    together(lab.machines, "systemctl", "restart", AGENT)
    assert [agent_pid(machine) for machine in lab.machines] != agents
    wait_for(lambda: has_moved(lab, 500), "both ranks talk on")
    first.run("dpkg", "--force-unsafe-io", "--install", "/root/newer.deb")
    second.run("systemctl", "kill", "--signal=KILL", "--kill-who=main", AGENT)
    restarted = lambda: second.property(AGENT, "NRestarts") != "0" and is_active(second, AGENT)  # noqa: E731
    wait_for(restarted, "the killed agent is started again")
    assert is_active(first, AGENT)
    assert is_active(first, COLLECTOR)
    assert ".2/bin/python3" in first.run("ps", "-o", "args=", "-p", agent_pid(first))
    # What the run's processes are made of is not replaced under them.
    assert len(builds(first)) == 2
    wait_for(lambda: has_moved(lab, 500), "both ranks still talk")
    assert {machine.node.name: driver_pid(machine) for machine in lab.machines} == pids  # nobody was started anew
    for machine in lab.machines:
        machine.write("/srv/talk/enough", "")


_seen: dict[str, int] = {}


def has_moved(lab: Lab, lines: int) -> bool:
    """Whether every rank has said so many lines since this was last true."""
    now = {machine.node.name: sum(said(machine, rank).count(b"\r") for rank in (0, 1)) for machine in lab.machines}
    if any(count < _seen.get(name, 0) + lines for name, count in now.items()):
        return False
    _seen.update(now)
    return True


def driver_pid(machine: Machine) -> str:
    return machine.run("pgrep", "--full", "^/usr/bin/python3 /srv/talk/talker.py").strip()


def user_of(machine: Machine, pid: str) -> str:
    return machine.run("ps", "-o", "user:32=", "-p", pid).strip()


def ended_well(lab: Lab) -> None:
    """The exit code, every byte, and nothing left."""
    first = lab.machines[0]
    run = wait_for(lambda: complete(lab), "the run is complete")
    assert run["status"] == "Failed"
    assert run["attempt"] == 0
    assert "talk-1" in lab.words("verify", "talk-1")
    lab.words("download", "talk-1", "--to", "/root/got")
    by_ip = {}
    for machine in lab.machines:
        (rank,) = (rank for rank in (0, 1) if machine.path(f"/srv/talk/said.{rank}").exists())
        name = f"{machine.ip}/azureml-logs/70_driver_log_{rank}.txt"
        (found,) = (path for path in first.path("/root/got").rglob(Path(name).name) if str(path).endswith(name))
        by_ip[machine.ip] = (found.read_bytes() == said(machine, rank), len(said(machine, rank)) > 10_000)
    assert by_ip == {machine.ip: (True, True) for machine in lab.machines}
    wait_for(lambda: lab.statuses() == ["Idle", "Idle"], "both nodes are idle again")
    first.run("/var/lib/dpkg/info/runyard.postinst", "configure")
    assert len(builds(first)) == 1
    for machine in lab.machines:
        scopes = machine.run("systemctl", "list-units", "--no-legend", "--type=scope", "runyard-run-*")
        assert scopes == ""


def builds(machine: Machine) -> list[str]:
    """The folders of all builds of the package that are there."""
    return machine.run("find", "/opt/runyard", "-maxdepth", "1", "-name", "[0-9]*").split()


def complete(lab: Lab) -> Any:
    run = lab.json("show", "talk-1")
    return run if run.get("is_complete") else None


def step_an_agent_that_hangs_is_ended_and_started_again(lab: Lab) -> None:
    second = lab.machines[1]
    # As in the unit, but quicker.
    second.write(f"/run/systemd/system/{AGENT}.d/quick.conf", "[Service]\nWatchdogSec=900ms\nRestartSec=100ms\n")
    second.run("systemctl", "daemon-reload")
    second.run("systemctl", "restart", AGENT)
    pid = agent_pid(second)
    second.run("kill", "-STOP", pid)
    wait_for(lambda: agent_pid(second) not in (pid, "0") and is_active(second, AGENT), "another agent")
    words = second.journal(AGENT)
    assert "Watchdog timeout" in words
    assert "/runyard/agent/daemon/main.py" in words  # where it hung


def step_an_agent_that_is_stopped_leaves_and_says_so(lab: Lab) -> None:
    second = lab.machines[1]
    second.run("systemctl", "stop", AGENT, limit_s=20)
    assert second.property(AGENT, "Result") == "success"
    wait_for(lambda: sorted(lab.statuses()) == ["Idle", "Leaving"], "the node is shown as leaving")


def test_a_cluster_of_services_outlives_restarts_upgrades_kills_and_hangs(
    lab: Lab, newer_package: Path, tmp_path: Path
) -> None:
    """Each step finds the cluster as the one before has left it."""
    step_two_machines_have_joined_and_their_agents_are_services(lab)
    step_a_run_on_two_nodes_outlives_restarts_an_upgrade_and_a_kill_of_its_agents(lab, newer_package, tmp_path)
    step_an_agent_that_hangs_is_ended_and_started_again(lab)
    step_an_agent_that_is_stopped_leaves_and_says_so(lab)
