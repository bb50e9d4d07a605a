"""What is read of a run's own control group: on cgroup v1, on v1 and v2 side by side, and on v2 alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from runyard.agent.telemetry import cgroups
from runyard.agent.telemetry.cgroups import Hierarchy

BURN = (
    "import time\nheld = bytearray(30 << 20)\nwhile time.process_time() < 0.3: pass\nprint('done', flush=True)\ntime.sleep(600)"
)


@contextmanager
def group(folder: Path) -> Iterator[Path]:
    """A control group for the length of the block."""
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"needs_system(cgroups): no control group can be made here: {error.strerror}")
    try:
        yield folder
    finally:
        folder.rmdir()


class Burner:
    """A process that uses 0.3 s and 30 MiB when `begin` is called, and can be put into groups before."""

    def __init__(self, stack: ExitStack) -> None:
        argv = [sys.executable, "-c", f"input()\n{BURN}"]
        self._child = stack.enter_context(subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        stack.callback(self._child.kill)
        self.pid = self._child.pid

    def begin(self) -> None:
        assert self._child.stdin
        assert self._child.stdout
        self._child.stdin.write(b"\n")
        self._child.stdin.flush()
        assert self._child.stdout.readline() == b"done\n"


@pytest.mark.needs_system("cgroups")
def test_a_runs_own_groups_tell_what_it_uses_until_somebody_else_is_in_them() -> None:
    trees = cgroups.hierarchies()
    if os.geteuid() or not trees:
        pytest.skip("needs_system(cgroups): only root makes control groups")
    with ExitStack() as stack:
        folders = [stack.enter_context(group(_own(tree) / f"runyard-test-{os.getpid()}")) for tree in trees]
        with ExitStack() as processes:
            burner, other = Burner(processes), Burner(processes)
            for folder in folders:
                (folder / "cgroup.procs").write_text(str(burner.pid))
            burner.begin()
            found = cgroups.of_run([burner.pid], lambda pid: pid != burner.pid, trees)
            assert found["cpu_s"] > 0.2
            if any(tree.is_v2 for tree in trees):
                assert found["psi_cpu_percent"] >= 0
            if any("memory" in tree.controllers for tree in trees):
                assert found["mem_peak_bytes"] >= found["mem_bytes"] > 25 << 20
                assert found["oom_kills"] == 0
                assert "mem_limit_bytes" not in found  # there is none
            for folder in folders:
                (folder / "cgroup.procs").write_text(str(other.pid))
            assert cgroups.of_run([burner.pid], lambda pid: pid != burner.pid, trees) == {}
            assert cgroups.of_run([burner.pid, other.pid], lambda pid: False, trees)["cpu_s"] > 0.2


def _own(tree: Hierarchy) -> Path:
    """The folder of the group that this process is in."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        folder = tree.folder(path)
        if tree.has((controllers, path)) and folder is not None:
            return folder
    return Path(tree.place)


def test_the_group_that_a_run_shares_with_the_rest_of_the_system_is_not_its_own() -> None:
    assert cgroups.of_run([1], lambda pid: pid != 1, cgroups.hierarchies()) == {}
    assert cgroups.of_run([], lambda pid: False, cgroups.hierarchies()) == {}


# In a namespace of its own, where the unified hierarchy alone is mounted.
PURE_V2 = """
umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup || exit 77
mkdir /sys/fs/cgroup/runyard-test-$$
sleep 600 & sleeper=$!
echo $sleeper > /sys/fs/cgroup/runyard-test-$$/cgroup.procs
"$0" -c '
import json, sys
from runyard.agent.telemetry import cgroups
trees = cgroups.hierarchies()
print(json.dumps([[tree.is_v2 for tree in trees], cgroups.of_run([int(sys.argv[1])], lambda pid: False, trees)]))
' $sleeper
kill $sleeper; wait $sleeper 2>/dev/null
rmdir /sys/fs/cgroup/runyard-test-$$
"""


@pytest.mark.needs_system("unshare")
def test_where_v2_alone_is_mounted_its_figures_are_read() -> None:
    if os.geteuid() or shutil.which("unshare") is None:
        pytest.skip("needs_system(unshare): only root mounts control groups")
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", PURE_V2, sys.executable], capture_output=True, text=True, check=False
    )
    if done.returncode == 77:
        pytest.skip("needs_system(unshare): the unified hierarchy cannot be mounted here")
    kinds, found = json.loads(done.stdout)
    assert kinds == [True]
    assert found["cpu_s"] >= 0
    assert "psi_memory_full_percent" in found


V2_FILES = {
    "cgroup.procs": "{pid}\n",
    "memory.current": "1000\n",
    "memory.peak": "2000\n",
    "memory.max": "max\n",
    "memory.swap.current": "30\n",
    "memory.events": "low 0\nhigh 1\nmax 2\noom 4\noom_kill 3\noom_group_kill 0\n",
    "cpu.stat": "usage_usec 2500000\nuser_usec 2000000\nnr_throttled 2\nthrottled_usec 500000\n",
    "io.stat": "8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n259:0 rbytes=5 wbytes=7 rios=1 wios=2 dbytes=0 dios=0\n",
    "memory.pressure": "some avg10=12.50 avg60=1.00 avg300=0.10 total=5\nfull avg10=3.25 avg60=0.00 avg300=0.00 total=5\n",
    "cpu.pressure": "some avg10=1.50 avg60=1.00 avg300=0.10 total=5\n",  # of a kernel that has no `full` for it
}


def test_all_that_a_group_of_v2_tells_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "below" / "the root"
    folder.mkdir(parents=True)
    for name, text in V2_FILES.items():
        (folder / name).write_text(text.format(pid=os.getpid()))
    found = cgroups.of_group(folder, Hierarchy(True, frozenset(), "/", str(tmp_path)))
    assert found == {
        "mem_bytes": 1000,
        "mem_peak_bytes": 2000,
        "swap_bytes": 30,
        "oom_kills": 3,
        "cpu_s": 2.5,
        "throttled_s": 0.5,
        "read_bytes": 15,
        "write_bytes": 27,
        "psi_memory_percent": 12.5,
        "psi_memory_full_percent": 3.25,
        "psi_cpu_percent": 1.5,
        "psi_cpu_full_percent": 0.0,
    }


MOUNTINFO = """\
22 28 0:20 / /sys rw,nosuid shared:7 - sysfs sysfs rw
30 22 0:27 / /sys/fs/cgroup/unified rw,nosuid - cgroup2 cgroup2 rw,nsdelegate
31 22 0:28 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro,nosuid - cgroup cgroup rw,cpu,cpuacct
32 22 0:29 /docker/abc /sys/fs/cgroup/memory ro,nosuid master:11 - cgroup cgroup rw,memory
33 22 0:30 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
"""


def test_groups_are_found_where_a_part_of_the_tree_is_mounted(tmp_path: Path) -> None:
    (tmp_path / "mountinfo").write_text(MOUNTINFO)
    unified, cpu, memory = cgroups.hierarchies(tmp_path / "mountinfo")
    assert (unified.is_v2, cpu.is_v2, memory.is_v2) == (True, False, False)
    assert cpu.controllers == {"cpu", "cpuacct"}
    assert memory.folder("/docker/abc/job") == Path("/sys/fs/cgroup/memory/job")
    assert memory.folder("/docker/other") is None
    assert unified.folder("/runyard.slice/x.scope") == Path("/sys/fs/cgroup/unified/runyard.slice/x.scope")
    assert cpu.has(("cpu,cpuacct", "/x"))
    assert not cpu.has(("memory", "/x"))
    assert unified.has(("", "/x"))
