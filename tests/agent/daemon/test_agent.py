"""One node's agent beside a real collector: what it starts outlives it, what it is told to end ends, and the next agent goes on
from what is on disk."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from runyard import names
from runyard.errors import CollectorRefused
from runyard.spec import Spec
from tests.agent.node_runs import NodeRun, is_alive
from tests.agent.telemetry.gpu_node import build
from tests.agent_process import AgentProcess, join_token, node_of, running_agent, status_of, submit
from tests.collector_process import CollectorProcess, running_collector
from tests.waiting import wait_for

COUNTING = ("sh", "-c", "i=0; while [ ! -e stop ]; do i=$((i+1)); echo line $i; sleep 0.02; done; exit 7")

# Where runyard and what it needs are, for an interpreter that is not this one.
PACKAGES = (str(Path(names.__file__).parents[1]), str(Path(structlog.__file__).parents[1]))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CollectorProcess]:
    """A collector for the tests that leave it alone."""
    with running_collector(tmp_path_factory.mktemp("shared")) as process:
        yield process


@pytest.fixture
def cluster() -> str:
    """A cluster of the test's own."""
    return f"lab-{os.urandom(4).hex()}"


def _driver_pid(agent: AgentProcess, run_id: str) -> int:
    started = wait_for(lambda: agent.json_of(run_id, names.process_dir(0) + "/started.json"), "the driver's start")
    return int(started["pid"])


def test_trainings_outlive_sigterm_and_kill_9_of_the_agent_and_the_next_one_takes_them_up(
    shared: CollectorProcess, cluster: str, tmp_path: Path
) -> None:
    with running_agent(tmp_path / "node", shared, cluster=cluster) as agent:
        submit(shared, "long", cluster=cluster, command=COUNTING, spec=_starting_in(tmp_path))
        pid = _driver_pid(agent, "long")
        wait_for(lambda: node_of(shared, agent)["status"] == "Running", "the node's status")

        assert agent.stop(signal.SIGTERM) == 0
        shipped_bytes = _shipped_bytes(shared, "long")
        size = len(agent.log_of("long"))
        wait_for(lambda: len(agent.log_of("long")) > size + 200, "the training goes on")
        assert node_of(shared, agent)["status"] == "Leaving"
        assert _shipped_bytes(shared, "long") == shipped_bytes

        agent.start()
        wait_for(lambda: _shipped_bytes(shared, "long") > shipped_bytes, "the next agent ships")
        agent.kill()
        assert is_alive(pid)
        agent.start()
        (tmp_path / "stop").touch()
        wait_for(lambda: status_of(shared, "long") == "Failed", "the run's end")
        run = shared.client().json("GET", "/runs/long")
        assert run["exit_code"] == 7
        wait_for(lambda: node_of(shared, agent)["runs"] == [], "the node is free again")
        assert _driver_pid(agent, "long") == pid
        with shared.client().stream("GET", f"/runs/long/files/{_folder(shared, 'long')}/{names.driver_log(0, 1)}") as response:
            assert response.read() == agent.log_of("long")


def test_a_canceled_run_is_ended_with_the_reason(shared: CollectorProcess, cluster: str, tmp_path: Path) -> None:
    with running_agent(tmp_path / "node", shared, cluster=cluster) as agent:
        submit(shared, "unwanted", cluster=cluster, command=("sleep", "60"))
        pid = _driver_pid(agent, "unwanted")
        shared.client().json("POST", "/runs/unwanted/cancel", {"reason": "no more of it"})
        wait_for(lambda: not is_alive(pid), "the driver's end")
        wait_for(lambda: status_of(shared, "unwanted") == "Canceled", "the run's end")
        assert "no more of it" in agent.json_of("unwanted", names.STOP_FILE)["reason"]


def test_what_a_person_has_started_here_is_shipped_and_left_alone(
    shared: CollectorProcess, cluster: str, tmp_path: Path
) -> None:
    with running_agent(tmp_path / "node", shared, cluster=cluster) as agent:
        run = NodeRun(agent.spool, "sh", "-c", "echo mine; sleep 1", run_id="own", env={"RUNYARD_RUN__DRAIN_S": "0"})
        assert run.complete().returncode == 0  # it knows no collector
        wait_for(lambda: status_of(shared, "own") == "Completed", "the agent ships it")
        assert node_of(shared, agent)["runs"] == []


def test_an_agent_that_was_killed_over_a_new_folder_starts_the_run_all_the_same(
    shared: CollectorProcess, cluster: str, tmp_path: Path
) -> None:
    with running_agent(tmp_path / "node", shared, cluster=cluster) as agent:
        agent.kill()
        (agent.run_dir("half") / names.PRIVATE_DIR).mkdir(parents=True)
        agent.start()
        submit(shared, "half", cluster=cluster, command=("echo", "whole"))
        wait_for(lambda: status_of(shared, "half") == "Completed", "the run's end")
        assert agent.log_of("half") == b"whole\n"


def test_a_node_joins_once_and_finds_its_credentials_again(shared: CollectorProcess, cluster: str, tmp_path: Path) -> None:
    with running_agent(tmp_path / "node", shared, cluster=cluster) as agent:
        kept = agent.state_dir / "credentials.json"
        assert kept.stat().st_mode & 0o777 == 0o600
        assert agent.state_dir.stat().st_mode & 0o777 == 0o700
        agent.join_token_file.unlink()
        agent.restart()
        wait_for(lambda: node_of(shared, agent)["status"] == "Idle", "the node is there again")
        assert len(agent.said("joined")) == 1


def test_a_token_that_is_old_is_exchanged_and_the_old_one_dies(shared: CollectorProcess, cluster: str, tmp_path: Path) -> None:
    with running_agent(tmp_path / "node", shared, cluster=cluster) as agent:
        agent.stop()
        kept = agent.state_dir / "credentials.json"
        old = json.loads(kept.read_text())
        kept.write_text(json.dumps(old | {"made_ns": 0}))
        agent.start()
        wait_for(lambda: json.loads(kept.read_text())["token_id"] != old["token_id"], "a new token")
        wait_for(lambda: node_of(shared, agent)["status"] == "Idle", "the node is there by it")
        with pytest.raises(CollectorRefused, match="token"):
            shared.client(old["token"]).json("GET", f"/nodes/{agent.node_id}/work")
        assert kept.stat().st_mode & 0o777 == 0o600
        assert old["token"] not in agent.log_text


def test_a_second_agent_with_the_same_folder_is_refused(shared: CollectorProcess, cluster: str, tmp_path: Path) -> None:
    with running_agent(tmp_path / "node", shared, cluster=cluster) as agent:
        second = AgentProcess(tmp_path / "node", shared)
        assert second.launch().wait(30) == 2
        assert "another agent runs with" in second.log_text
        assert agent.pid


def test_a_join_token_that_cannot_be_used_is_told_in_a_sentence(shared: CollectorProcess, cluster: str, tmp_path: Path) -> None:
    agent = AgentProcess(tmp_path / "node", shared)
    assert agent.launch().wait(30) == 2
    assert "agent.join_token_file" in agent.log_text
    agent.join_token_file.write_text("ry_none_of_yours\n")
    assert agent.launch().wait(30) == 2
    assert "ry_none_of_yours" not in agent.log_text
    assert agent.log_text.splitlines()[-1].startswith("runyard: ")


def test_a_node_that_was_put_out_does_not_come_back_by_the_same_join_token(
    shared: CollectorProcess, cluster: str, tmp_path: Path
) -> None:
    agent = AgentProcess(tmp_path / "node", shared)
    agent.join_token_file.write_text(join_token(shared, cluster=cluster, uses=5))
    try:
        agent.start()
        wait_for(lambda: node_of(shared, agent)["status"] == "Idle", "the node is there")
        submit(shared, "goes-on", cluster=cluster, command=("sleep", "60"))
        pid = _driver_pid(agent, "goes-on")
        shared.client().json("DELETE", f"/nodes/{agent.node_id}")
        wait_for(lambda: agent.said("does not know this node any more"), "the sentence")
        assert is_alive(pid)

        agent.join_token_file.write_text(join_token(shared, cluster=cluster))
        agent.restart()
        wait_for(lambda: node_of(shared, agent)["status"] in ("Idle", "Running"), "the node is there again")
        assert len(agent.said("joined")) == 2
    finally:
        agent.close()


def test_two_nodes_with_one_id_do_not_take_each_other_s_place(shared: CollectorProcess, cluster: str, tmp_path: Path) -> None:
    with running_agent(tmp_path / "one", shared, cluster=cluster) as agent:
        wait_for(lambda: node_of(shared, agent)["status"] == "Idle", "the first one is there")
        copy = AgentProcess(tmp_path / "copy", shared)
        copy.join_token_file.write_text(join_token(shared, cluster=cluster))
        copy.spool.mkdir()
        (copy.spool / ".node_id").write_text(agent.node_id)
        assert copy.launch().wait(30) == 2
        assert agent.node_id in copy.log_text


def test_what_a_node_cannot_start_is_refused_with_the_reason(shared: CollectorProcess, cluster: str, tmp_path: Path) -> None:
    with running_agent(tmp_path / "node", shared, cluster=cluster):
        submit(shared, "whose", cluster=cluster, command=("true",), user="nobody-of-that-name")
        wait_for(lambda: status_of(shared, "whose") == "Failed", "the run's end")
        assert "nobody-of-that-name" in shared.client().json("GET", "/runs/whose")["cause"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts runs of other users")
def test_a_run_of_another_user_is_that_user_s_from_the_spool_to_the_driver(
    shared: CollectorProcess, cluster: str, tmp_path: Path
) -> None:
    for folder in (tmp_path, *tmp_path.parents):  # pytest's own folders are the tests' user's alone
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o011)
    environ = {"RUNYARD_AGENT__USERS": "nobody", "PYTHONPATH": os.pathsep.join(PACKAGES)}
    with running_agent(tmp_path / "node", shared, cluster=cluster, environ=environ, python=_python_of_all()) as agent:
        script = ("sh", "-c", "id -un; id -G; echo $HOME")
        submit(shared, "theirs", cluster=cluster, command=script, user="nobody", spec=_starting_in(Path("/")))
        wait_for(lambda: status_of(shared, "theirs") in ("Completed", "Failed"), "the run's end")
        if not all(folder.stat().st_mode & 0o001 for package in PACKAGES for folder in Path(package).parents):
            # The tests lie where only their own user may read: then that is what the run is told.
            assert "cannot read" in shared.client().json("GET", "/runs/theirs")["cause"]
            return
        assert agent.log_of("theirs").splitlines() == [b"nobody", b"65534", b"/nonexistent"]
        owners = {path.lstat().st_uid for path in (agent.run_dir("theirs"), *agent.run_dir("theirs").rglob("*"))}
        assert owners == {65534}


def test_a_collector_that_is_away_keeps_no_node_from_looking_after_its_runs(
    collector: CollectorProcess, tmp_path: Path
) -> None:
    with running_agent(tmp_path / "node", collector) as agent:
        submit(collector, "through", COUNTING, spec=_starting_in(tmp_path))
        _driver_pid(agent, "through")
        collector.stop()
        agent.restart()  # it is ready without a collector
        (tmp_path / "stop").touch()
        wait_for(lambda: (agent.json_of("through", names.STATE_FILE) or {}).get("ended_ns"), "the run ends meanwhile")
        collector.start()
        wait_for(lambda: status_of(collector, "through") == "Failed", "all is told")


def test_a_node_joins_when_the_collector_is_there_at_last(collector: CollectorProcess, tmp_path: Path) -> None:
    token = join_token(collector)
    collector.stop()
    agent = AgentProcess(tmp_path / "node", collector)
    agent.join_token_file.write_text(token)
    try:
        agent.start()
        collector.start()
        wait_for(lambda: agent.said("joined"), "the node joins")
        wait_for(lambda: node_of(collector, agent)["status"] == "Idle", "the node is idle")
    finally:
        agent.close()


def test_a_run_whose_folder_was_removed_is_not_started_once_more(
    shared: CollectorProcess, cluster: str, tmp_path: Path
) -> None:
    with running_agent(tmp_path / "node", shared, cluster=cluster) as agent:
        count = tmp_path / "count"
        submit(shared, "removed", cluster=cluster, command=("sh", "-c", f"echo once >> {count}; sleep 60"))
        pid = _driver_pid(agent, "removed")
        shutil.rmtree(agent.run_dir("removed"))
        wait_for(lambda: node_of(shared, agent)["runs"] == [], "the node has nothing left")
        submit(shared, "another", cluster=cluster, command=("true",))
        wait_for(lambda: status_of(shared, "another") == "Completed", "the node goes on")
        assert count.read_text() == "once\n"
        os.kill(pid, signal.SIGKILL)


@pytest.mark.needs_system("gcc")
def test_runs_that_share_a_node_do_not_share_its_gpus(shared: CollectorProcess, cluster: str, tmp_path: Path) -> None:
    (tmp_path / "wishes").write_text("gpus=4\n")
    environ = {"LD_LIBRARY_PATH": str(build(tmp_path / "lib")), "FAKE_NVML": str(tmp_path / "wishes")}
    with running_agent(tmp_path / "node", shared, cluster=cluster, environ=environ | {"RUNYARD_AGENT__SAMPLE_S": "1"}) as agent:
        wait_for(lambda: node_of(shared, agent)["capacity"]["gpus"] == 4, "the GPUs are known")
        for name, count in (("two", 2), ("one", 1), ("none", 0)):
            script = ("sh", "-c", 'echo "$CUDA_VISIBLE_DEVICES"; sleep 60')
            request, spec = {"cpus": 0.1, "gpus": count}, Spec(env={"CUDA_VISIBLE_DEVICES": "0"})
            submit(shared, name, cluster=cluster, command=script, request=request, spec=spec)
            wait_for(lambda name=name: agent.log_of(name), "the driver's word")  # type: ignore[misc]
        assert [agent.log_of(name) for name in ("two", "one", "none")] == [b"0,1\n", b"2\n", b"\n"]


def test_the_service_manager_hears_that_the_agent_is_ready_lives_and_stops(
    shared: CollectorProcess, cluster: str, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + f"runyard-test-{os.getpid()}")
        manager.settimeout(30)
        environ = {"NOTIFY_SOCKET": f"@runyard-test-{os.getpid()}", "WATCHDOG_USEC": "600000"}
        with running_agent(tmp_path / "node", shared, cluster=cluster, environ=environ) as agent:
            assert manager.recv(4096).splitlines() == [b"READY=1", f"STATUS=in cluster {cluster}, 0 runs".encode()]
            assert manager.recv(4096).splitlines()[0] == b"WATCHDOG=1"
            submit(shared, "seen", cluster=cluster, command=("env",))
            while f"STATUS=in cluster {cluster}, 1 runs".encode() not in manager.recv(4096).splitlines():
                pass
            wait_for(lambda: status_of(shared, "seen") == "Completed", "the run's end")
            assert b"NOTIFY_SOCKET" not in agent.log_of("seen")
            agent.stop()
            while manager.recv(4096).splitlines()[0] != b"STOPPING=1":
                pass


def _python_of_all() -> str:
    """An interpreter that every user may read, with which this one's packages work."""
    ours = Path(sys.executable).resolve()
    is_open = all(folder.stat().st_mode & 0o001 for folder in ours.parents)
    return sys.executable if is_open else f"/usr/bin/python3.{sys.version_info.minor}"


def _starting_in(folder: Path) -> Spec:
    return Spec(cwd=str(folder))


def _folder(collector: CollectorProcess, run_id: str) -> str:
    return str(collector.client().json("GET", f"/runs/{run_id}")["nodes"][0]["folder"])


def _shipped_bytes(collector: CollectorProcess, run_id: str) -> int:
    try:
        files = collector.client().json("GET", f"/runs/{run_id}/files")["files"]
    except CollectorRefused:
        return 0
    return sum(int(file["bytes"]) for file in files if file["name"].endswith("70_driver_log.txt"))
