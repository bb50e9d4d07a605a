"""Several processes on one node: each has its log, its lines and its end; what becomes of the others when one fails."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from runyard import names
from runyard.agent import proctree
from runyard.agent.ending import Ending
from runyard.agent.local_run import LocalRun
from runyard.agent.process import Process
from runyard.agent.stop import request_stop
from runyard.timeindex import STDERR, unpack
from tests.waiting import wait_for

from .node_runs import NodeRun, is_alive

# Writes bytes of its own on both streams, none of them fit for a text, the last without a line's end.
HOSTILE = """
import os, sys
rank = int(os.environ["RUNYARD_RANK"])
for n in range(200):
    os.write(1, b"\\xff\\x00%d:%d\\r\\n" % (rank, n))
    os.write(2, b"\\x1b[31m%d!%d\\n" % (rank, n))
os.write(1, b"end of %d" % rank)
"""

# Each rank is told what to do by a word: a number to end with when the file go is there, `go` to end well when go2 is, `N+` to
# end with N then, `stay` to stay there, `deaf` to do so whatever it is asked, `N@` to end with N when it is asked.
ACTORS = """
import os, signal, sys, time
word, go = sys.argv[2 + int(os.environ["RUNYARD_RANK"])], sys.argv[1]
if word == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if word.endswith("@"):
    signal.signal(signal.SIGTERM, lambda *_: os._exit(int(word[:-1])))
print("ready", flush=True)
while not os.path.exists(go):
    time.sleep(0.005)
if word.isdigit():
    os._exit(int(word))
while word != "go" and not word.endswith("+") or not os.path.exists(go + "2"):
    time.sleep(0.005)
os._exit(int(word.strip("go+") or 0))
"""


class SeveralRun(NodeRun):
    """A run of several processes on this node."""

    def __init__(self, tmp_path: Path, count: int, *command: str, flags: tuple[str, ...] = (), **options: Any) -> None:
        self.count = count
        self.go, self.go2 = tmp_path / "go", tmp_path / "go2"
        super().__init__(tmp_path / "spool", *command, flags=("--nproc-per-node", str(count), *flags), **options)

    def start(self) -> Any:
        process = self.launch()
        wait_for(lambda: all(b"ready" in self.log_of(rank) for rank in range(self.count)), "every process's start")
        return process

    def log_of(self, rank: int) -> bytes:
        path = self.path(names.driver_log(rank, self.count))
        return path.read_bytes() if path.exists() else b""

    def split_of(self, rank: int) -> tuple[bytes, bytes]:
        """(stdout, stderr) as the rank's time index tells them apart."""
        log, parts, start = self.log_of(rank), {False: bytearray(), True: bytearray()}, 0
        for record in unpack(self.path(names.index_of(names.driver_log(rank, self.count))).read_bytes()):
            parts[record.source == STDERR] += log[start : record.end]
            start = record.end
        assert start == len(log)
        return bytes(parts[False]), bytes(parts[True])

    def exit_of(self, rank: int) -> dict[str, Any]:
        return dict(self.json(names.process_dir(rank) + "/exit.json") or {})

    def statuses(self) -> dict[str, list[str]]:
        """Process → its statuses, as process_status.json tells them."""
        found: dict[str, list[str]] = {}
        for line in self.lines(names.PROCESS_STATUS) if self.path(names.PROCESS_STATUS).exists() else ():
            found.setdefault(line["process_name"], []).append(line["status"])
        return found

    def finish(self) -> tuple[int, str]:
        """Wait for its end: the exit code and what was said on stderr."""
        assert self.process is not None
        _, err = self.process.communicate(timeout=60)
        return self.process.returncode, err.decode(errors="replace")


def actors(tmp_path: Path, *words: str, flags: tuple[str, ...] = ()) -> SeveralRun:
    command = (sys.executable, "-c", ACTORS, str(tmp_path / "go"), *words)
    return SeveralRun(tmp_path, len(words), *command, flags=flags)


def kill_capture(lock: Path) -> None:
    """Kill the capture whose lock that is, and wait for the one that takes its place."""
    dead = lock.read_text()
    os.kill(int(dead), signal.SIGKILL)
    wait_for(lambda: lock.read_text() not in ("", dead), "another capture")


@pytest.mark.row("A4", "A7", "A8")
def test_each_process_has_its_own_log_byte_for_byte_its_line_and_its_states(tmp_path: Path) -> None:
    run = SeveralRun(tmp_path, 4, sys.executable, "-c", HOSTILE)
    assert run.complete().returncode == 0
    for rank in range(4):
        out = b"".join(b"\xff\x00%d:%d\r\n" % (rank, n) for n in range(200)) + b"end of %d" % rank
        err = b"".join(b"\x1b[31m%d!%d\n" % (rank, n) for n in range(200))
        assert run.split_of(rank) == (out, err)
    assert not run.path(names.driver_log(0, 1)).exists()
    info = {line["process_name"]: line for line in run.lines(names.PROCESS_INFO)}
    assert sorted(info) == [f"worker_{rank}" for rank in range(4)]
    assert [info[f"worker_{rank}"]["log"] for rank in range(4)] == [f"azureml-logs/70_driver_log_{n}.txt" for n in range(4)]
    assert len({line["pid_in_container"] for line in info.values()}) == 4
    assert run.statuses() == {f"worker_{rank}": ["Started", "Completed"] for rank in range(4)} | {"*": ["Completed"]}
    assert run.lines(names.PROCESS_STATUS)[-1]["process_name"] == "*"
    assert [told["rank"] for told in run.state()["processes"]] == [0, 1, 2, 3]
    assert not run.path(names.ENVIRONMENT_FILE).exists()


def told_by(run: SeveralRun) -> list[dict[str, str]]:
    """The environment of each process, which the process has printed."""
    done = run.complete()
    assert done.returncode == 0, done.stderr
    return [json.loads(run.log_of(rank)) for rank in range(run.count)]


PRINT = (sys.executable, "-c", "import json, os; print(json.dumps(dict(os.environ)))")


def test_pytorchs_processes_find_each_other(tmp_path: Path) -> None:
    own = {"RANK": "99", "WORLD_SIZE": "99", "MASTER_PORT": "1", "CUDA_VISIBLE_DEVICES": "0,1"}
    flags = ("--distribution", "pytorch", "--env", "LOCAL_WORLD_SIZE=mine", "--env", "RUNYARD_RANK=7")
    told = told_by(SeveralRun(tmp_path, 3, *PRINT, flags=flags, env=own))
    for rank, env in enumerate(told):
        assert (env["RANK"], env["LOCAL_RANK"], env["WORLD_SIZE"], env["NODE_RANK"]) == (str(rank), str(rank), "3", "0")
        assert (env["RUNYARD_RANK"], env["RUNYARD_LOCAL_RANK"], env["RUNYARD_WORLD_SIZE"]) == (str(rank), str(rank), "3")
        assert env["MASTER_ADDR"] == "127.0.0.1"
        assert env["LOCAL_WORLD_SIZE"] == "mine"  # what was set by hand wins, what happened to be there does not
        assert env["AZ_BATCHAI_GPU_COUNT_FOUND"] == "2"
        assert env["AZ_BATCHAI_PYTORCH_INIT_METHOD"] == f"tcp://127.0.0.1:{env['MASTER_PORT']}"
        assert env["AZUREML_OUTPUT_DIRECTORY"] == env["RUNYARD_OUTPUT_DIR"]
    assert len({env["MASTER_PORT"] for env in told}) == 1
    assert int(told[0]["MASTER_PORT"]) > 1024


@pytest.mark.row("A7")
def test_tensorflows_processes_are_workers_and_parameter_servers(tmp_path: Path) -> None:
    run = SeveralRun(tmp_path, 3, *PRINT, flags=("--distribution", "tensorflow", "--parameter-servers", "1"))
    configs = [json.loads(env["TF_CONFIG"]) for env in told_by(run)]
    assert [config["task"] for config in configs] == [
        {"type": "worker", "index": 0},
        {"type": "worker", "index": 1},
        {"type": "ps", "index": 0},
    ]
    cluster = configs[0]["cluster"]
    assert all(config["cluster"] == cluster for config in configs)
    assert (len(cluster["worker"]), len(cluster["ps"])) == (2, 1)
    assert len({*cluster["worker"], *cluster["ps"]}) == 3
    assert sorted(line["process_name"] for line in run.lines(names.PROCESS_INFO)) == ["ps_0", "worker_0", "worker_1"]


def test_only_the_first_process_reads_stdin(tmp_path: Path) -> None:
    run = SeveralRun(tmp_path, 3, "cat")
    assert run.complete(input=b"for one alone\n").returncode == 0
    assert [run.log_of(rank) for rank in range(3)] == [b"for one alone\n", b"", b""]


def test_the_echo_has_whole_lines_behind_their_ranks_on_the_right_stream(tmp_path: Path) -> None:
    script = "import os; n = os.environ['RUNYARD_RANK'].encode()\n"
    script += "for i in range(300): os.write(1, b'o' * 30); os.write(1, b' %s %d\\n' % (n, i)); os.write(2, b'e %s\\n' % n)\n"
    done = SeveralRun(tmp_path, 2, sys.executable, "-c", script + "os.write(1, b'the end')").complete()
    lines = done.stdout.splitlines()
    for rank in (b"0", b"1"):
        mine = [line.removeprefix(b"[rank %s] " % rank) for line in lines if line.startswith(b"[rank %s] " % rank)]
        assert mine == [b"o" * 30 + b" %s %d" % (rank, n) for n in range(300)] + [b"the end"]
        assert done.stderr.count(b"[rank %s] e %s\n" % (rank, rank)) == 300
    assert len(lines) == 602
    assert done.stdout.endswith(b"the end\n")


def test_a_killed_capture_and_a_killed_shepherd_cost_no_exit_code(tmp_path: Path) -> None:
    run = actors(tmp_path, "3+", "4", "5+", flags=("--on-failure", "wait"))
    run.start()
    kill_capture(run.path(names.process_dir(1) + "/capture.lock"))
    run.go.touch()
    wait_for(lambda: run.exit_of(1), "rank 1's end")
    shepherd = run.state()["shepherd_pid"]
    os.kill(shepherd, signal.SIGKILL)
    wait_for(lambda: run.state().get("shepherd_pid") != shepherd, "another shepherd")
    run.go2.touch()
    assert run.finish()[0] == 4
    assert [run.exit_of(rank)["exit_code"] for rank in range(3)] == [3, 4, 5]
    assert run.state()["cause"] == "rank 1: exit code 4"


def test_killed_captures_of_all_ranks_lose_nothing_while_the_shepherd_lives(tmp_path: Path) -> None:
    run = actors(tmp_path, "3", "4", "5", flags=("--on-failure", "wait"))
    run.start()
    for rank in range(3):
        kill_capture(run.path(names.process_dir(rank) + "/capture.lock"))
    run.go.touch()
    run.finish()
    assert [run.exit_of(rank)["exit_code"] for rank in range(3)] == [3, 4, 5]
    assert run.statuses() == {f"worker_{rank}": ["Started", "Failed"] for rank in range(3)} | {"*": ["Failed"]}


@pytest.mark.row("A8")
def test_when_one_fails_the_others_are_ended_and_the_first_failure_is_the_runs(tmp_path: Path) -> None:
    run = actors(tmp_path, "9@", "stay", "7", "deaf", flags=("--failure-grace", "0.3s"))
    run.start()
    run.go.touch()
    code, err = run.finish()
    state = run.state()
    assert (code, state["status"], state["exit_code"], state["cause"]) == (7, "Failed", 7, "rank 2: exit code 7")
    assert "runyard: rank 2: exit code 7\n" in err
    assert [run.exit_of(rank)["signal"] for rank in range(4)] == [None, signal.SIGTERM, None, signal.SIGKILL]
    ends = {name: told[-1] for name, told in run.statuses().items()}
    stopped = dict.fromkeys(("worker_0", "worker_1", "worker_3"), "Terminated")
    assert ends == stopped | {"worker_2": "Failed", "*": "Failed"}
    assert state["failure"]["log"] == names.driver_log(2, 4)
    assert "CancelRequested" not in [move["status"] for move in state["transitions"]]
    assert run.exit_of(1)["mono_ns"] - run.exit_of(2)["mono_ns"] >= 0.3e9


def test_the_decision_to_end_the_others_survives_the_shepherd(tmp_path: Path) -> None:
    run = actors(tmp_path, "stay", "7", flags=("--failure-grace", "2s"))
    run.start()
    run.go.touch()
    wait_for(lambda: run.exit_of(1), "rank 1's end")
    os.kill(run.state()["shepherd_pid"], signal.SIGKILL)
    assert run.finish()[0] == 7
    assert run.state()["cause"] == "rank 1: exit code 7"
    assert run.statuses()["worker_0"] == ["Started", "Terminated"]
    assert run.exit_of(0)["mono_ns"] - run.exit_of(1)["mono_ns"] >= 2e9


def test_with_wait_the_others_go_on(tmp_path: Path) -> None:
    run = actors(tmp_path, "go", "7", flags=("--on-failure", "wait", "--failure-grace", "0"))
    run.start()
    run.go.touch()
    wait_for(lambda: run.statuses().get("worker_1") == ["Started", "Failed"], "rank 1's end")
    pid = run.json(names.process_dir(0) + "/started.json")["pid"]
    assert is_alive(pid)
    run.go2.touch()
    assert run.finish()[0] == 7
    assert run.statuses() == {"worker_0": ["Started", "Completed"], "worker_1": ["Started", "Failed"], "*": ["Failed"]}
    assert run.state()["cause"] == "rank 1: exit code 7"


def test_a_processs_end_by_a_signal_names_it(tmp_path: Path) -> None:
    run = actors(tmp_path, "stay", "stay", flags=("--failure-grace", "0"))
    run.start()
    os.kill(run.json(names.process_dir(1) + "/started.json")["pid"], signal.SIGSEGV)
    assert run.finish()[0] == 128 + signal.SIGSEGV
    assert run.state()["cause"] == "rank 1: killed by SIGSEGV"


def test_another_nodes_failure_cancels_this_one_with_its_reason(tmp_path: Path) -> None:
    run = actors(tmp_path, "stay", "9@")
    run.start()
    request_stop(str(run.run_dir), signal.SIGTERM, 1.0, "rank 5 on 10.0.0.2: exit code 2", is_failure=True)
    run.finish()
    state = run.state()
    assert (state["status"], state["cause"]) == ("Canceled", "rank 5 on 10.0.0.2: exit code 2")
    assert run.statuses()["worker_0"][-1] == run.statuses()["worker_1"][-1] == "Terminated"
    assert "CancelRequested" not in [move["status"] for move in state["transitions"]]


def test_a_failure_of_its_own_that_came_first_stays_the_nodes(tmp_path: Path) -> None:
    run = actors(tmp_path, "stay", "7", flags=("--on-failure", "wait"))
    run.start()
    run.go.touch()
    wait_for(lambda: run.exit_of(1), "rank 1's end")
    request_stop(str(run.run_dir), signal.SIGTERM, 1.0, "rank 5 on 10.0.0.2: exit code 2", is_failure=True)
    assert run.finish()[0] == 7
    assert (run.state()["status"], run.state()["cause"]) == ("Failed", "rank 1: exit code 7")


def test_who_cancels_cancels_all_of_them(tmp_path: Path) -> None:
    run = actors(tmp_path, "stay", "stay", "deaf")
    run.start().send_signal(signal.SIGINT)
    run.finish()
    assert run.state()["status"] == "Canceled"
    assert run.statuses() == {f"worker_{rank}": ["Started", "Terminated"] for rank in range(3)} | {"*": ["Terminated"]}


def test_ranks_that_cannot_start_say_why(tmp_path: Path) -> None:
    script = tmp_path / "bad.sh"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    run = SeveralRun(tmp_path, 2, str(script))
    assert run.complete().returncode == 127
    assert re.fullmatch(r"rank [01]: .*bad\.sh' cannot be started in .*", run.state()["cause"])
    assert [run.exit_of(rank)["exit_code"] for rank in range(2)] == [127, 127]


def test_a_torchrun_of_the_users_own_splits_its_workers_logs_into_the_runs(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    torchrun = tmp_path / "bin/torchrun"  # says what the real one reads; tests/pipeline has that
    torchrun.write_text("#!/bin/sh\necho $PET_LOG_DIR $PET_TEE\n")
    torchrun.chmod(0o755)
    run = NodeRun(tmp_path / "spool", str(torchrun), "--nproc-per-node=2", "train.py", "--log-dir", "of-the-script")
    assert run.complete().stdout.decode() == f"{run.run_dir}/logs/torchrun 3\n"


def test_a_process_that_starts_late_is_asked_to_end_once_and_not_only_made_to(tmp_path: Path) -> None:
    run = {"world_size": 2, "mark": "m", "distribution": {}}
    process = Process(str(tmp_path), run, 1)
    ending = Ending(cast(LocalRun, None), [process])
    ending.ask(signal.SIGTERM)  # it is being started
    code = "import signal, sys; signal.signal(15, lambda *_: print(1, flush=True)); print(0, flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as late:
        assert late.stdout is not None
        assert late.stdout.readline() == "0\n"
        Path(process.directory).mkdir(parents=True)
        started = {"pid": late.pid, "start_ticks": proctree.start_ticks(late.pid), "boot_id": proctree.boot_id()}
        Path(process.directory, "started.json").write_text(json.dumps(started))
        process.refresh()
        ending.step()
        assert late.stdout.readline() == "1\n"
        ending.step()
        assert late.communicate(timeout=10)[0] == ""
