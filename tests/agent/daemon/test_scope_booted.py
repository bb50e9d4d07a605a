"""Where systemd runs, a run lives in a scope of its own, with its limits, as its user, beyond the agent's unit."""

from __future__ import annotations

import shutil
from pathlib import Path

import runyard
from runyard import names
from tests.systemd_site import NEEDS_NODES, Machine, booted
from tests.waiting import wait_for

pytestmark = NEEDS_NODES
# What an agent does with a run, without a collector: its spool, its shepherd.
STARTS = """\
import signal, sys
sys.path[:0] = ["/opt/site"]
from pathlib import Path
from runyard.agent.daemon.scope import Starter
from runyard.agent.spool import NewRun, RunSpec
user, uid = sys.argv[1], int(sys.argv[2])
spool = Path("/var/spool/runs")
spool.mkdir(exist_ok=True)
spool.chmod(0o711)
placement = {"request": {"cpus": 0.5, "memory_bytes": 200 << 20}, "uid": uid, "gid": uid}
environment = {"PATH": "/usr/bin:/bin"}
argv = ("sh", "-c", "id -u; id -G; exec sleep 300")
new = NewRun(spool, RunSpec(user, "e", argv, environment, cwd="/", placement=placement))
new.commit()
new.lock.release()
starter = Starter("on")
assert starter.start(str(new.run_dir)) and not starter.start(str(new.run_dir))
signal.pause()
"""


def test_a_run_lives_in_a_scope_of_its_own_beyond_the_unit_that_started_it() -> None:
    with booted(1) as (machine,):
        _bring_package(machine)
        machine.run("usermod", "--append", "--groups", "video", "nobody")
        video = next(
            line.split(":")[2] for line in machine.path("/etc/group").read_text().splitlines() if line.startswith("video:")
        )
        for user, uid, groups in (("root", 0, "0"), ("nobody", 65534, f"65534 {video}")):
            unit, scope = f"starts-{user}", f"runyard-run-{user}-0.scope"
            machine.run(
                "systemd-run", f"--unit={unit}", "-p", "KillMode=process", "/usr/bin/python3", "/opt/starts.py", user, str(uid)
            )
            log = machine.path(f"/var/spool/runs/{user}/{names.driver_log(0, 1)}")
            wait_for(
                lambda log=log: log.exists() and log.read_bytes().count(b"\n") == 2,  # type: ignore[misc]
                f"the driver's word; {machine.journal(unit)}",
            )
            assert log.read_text() == f"{uid}\n{groups}\n"
            limits = {name: machine.property(scope, name) for name in ("MemoryMax", "OOMPolicy", "Slice", "Delegate")}
            assert limits == {"MemoryMax": "209715200", "OOMPolicy": "continue", "Slice": "runyard.slice", "Delegate": "yes"}
            machine.run("systemctl", "stop", unit)
            assert machine.property(scope, "ActiveState") == "active"
            machine.run("systemctl", "kill", "--signal=KILL", scope)
            wait_for(lambda scope=scope: machine.property(scope, "ActiveState") != "active", "the scope is gone")  # type: ignore[misc]


def _bring_package(machine: Machine) -> None:
    machine.write("/opt/starts.py", STARTS)
    source = Path(runyard.__file__).parent
    shutil.copytree(source, machine.path("/opt/site/runyard"), ignore=shutil.ignore_patterns("__pycache__"))
