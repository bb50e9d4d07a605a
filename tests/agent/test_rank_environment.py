"""What each process of a run on several nodes is told: the same world for all, and a place of its own in it."""

from __future__ import annotations

import json
import socket
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from runyard.agent import meeting
from runyard.agent.free_ports import first_free_port
from runyard.agent.rank_environment import is_distributed, variables
from runyard.distribution import PYTORCH, TENSORFLOW, Distribution

MEETING: dict[str, Any] = {
    "members": [
        {"node_rank": 0, "ip": "10.0.0.1", "port": 20100, "processes": 2},
        {"node_rank": 1, "ip": "10.0.0.2", "port": 20200, "processes": 2},
    ],
    "master_addr": "10.0.0.1",
    "master_port": 20100,
}


def described(distribution: Distribution) -> dict[str, Any]:
    """A run.json, as far as it counts here."""
    return {
        "distribution": asdict(distribution),
        "world_size": distribution.world_size,
        "ranks": list(distribution.ranks),
        "node_id": "n",
        "hostname": "h",
    }


def told(distribution: Distribution, found: dict[str, Any] | None = MEETING) -> dict[int, dict[str, str]]:
    """Every process of every node → what it is given."""
    nodes = [described(replace(distribution, node_rank=node)) for node in range(distribution.node_count)]
    return {rank: variables(run, found, rank, gpus=4) for run in nodes for rank in run["ranks"]}


def test_pytorchs_processes_on_two_nodes() -> None:
    envs = told(Distribution(kind=PYTORCH, node_count=2, processes_per_node=2))
    assert sorted(envs) == [0, 1, 2, 3]
    for rank, env in envs.items():
        assert (env["RANK"], env["WORLD_SIZE"], env["LOCAL_WORLD_SIZE"]) == (str(rank), "4", "2")
        assert (env["LOCAL_RANK"], env["NODE_RANK"], env["GROUP_RANK"]) == (str(rank % 2), str(rank // 2), str(rank // 2))
        assert (env["MASTER_ADDR"], env["MASTER_PORT"]) == ("10.0.0.1", "20100")
        assert env["AZ_BATCHAI_PYTORCH_INIT_METHOD"] == "tcp://10.0.0.1:20100"
        assert env["AZ_BATCHAI_TASK_INDEX"] == str(rank)
        assert env["AZUREML_NODE_COUNT"] == "2"
        assert env["AZ_BATCH_HOST_LIST"] == "10.0.0.1,10.0.0.2"
        assert env["AZ_BATCH_MASTER_NODE"] == "10.0.0.1:20100"
        assert env["AZ_BATCH_IS_CURRENT_NODE_MASTER"] == ("true" if rank < 2 else "false")
        assert env["AZ_BATCHAI_GPU_COUNT_FOUND"] == "4"


def test_tensorflows_cluster_is_the_same_for_all_with_the_parameter_servers_last() -> None:
    envs = told(Distribution(kind=TENSORFLOW, node_count=2, processes_per_node=2, parameter_servers=1))
    configs = {rank: json.loads(env["TF_CONFIG"]) for rank, env in envs.items()}
    cluster = {"worker": ["10.0.0.1:20100", "10.0.0.1:20101", "10.0.0.2:20200"], "ps": ["10.0.0.2:20201"]}
    assert all(config["cluster"] == cluster for config in configs.values())
    assert [configs[rank]["task"] for rank in range(4)] == [
        {"type": "worker", "index": 0},
        {"type": "worker", "index": 1},
        {"type": "worker", "index": 2},
        {"type": "ps", "index": 0},
    ]
    assert (envs[3]["AZ_BATCHAI_TASK_TYPE"], envs[3]["AZ_BATCHAI_TASK_INDEX"]) == ("ps", "0")
    assert "MASTER_ADDR" not in envs[0]


def test_ranks_that_a_launcher_has_dealt_out_in_turn_keep_their_places() -> None:
    members = [member | {"ranks": ranks} for member, ranks in zip(MEETING["members"], ([0, 2], [1, 3]), strict=True)]
    one = Distribution(kind=TENSORFLOW, node_count=2, node_rank=1, launched_ranks=(1, 3), launched_world_size=4)
    env = variables(described(one), MEETING | {"members": members}, 3)
    workers = json.loads(env["TF_CONFIG"])["cluster"]["worker"]
    assert workers == ["10.0.0.1:20100", "10.0.0.2:20200", "10.0.0.1:20101", "10.0.0.2:20201"]
    assert (env["RUNYARD_LOCAL_RANK"], env["RUNYARD_NODE_RANK"], env["RUNYARD_WORLD_SIZE"]) == ("1", "1", "4")


def test_an_ipv6_address_stands_in_brackets_where_a_port_follows() -> None:
    found = {
        "members": [{"node_rank": 0, "ip": "fd00::1", "port": 1, "processes": 2}],
        "master_addr": "fd00::1",
        "master_port": 1,
    }
    env = told(Distribution(kind=PYTORCH, processes_per_node=2), found)[0]
    assert (env["MASTER_ADDR"], env["AZ_BATCHAI_PYTORCH_INIT_METHOD"]) == ("fd00::1", "tcp://[fd00::1]:1")


def test_nodes_that_have_not_met_tell_what_is_known_without() -> None:
    env = told(Distribution(kind=PYTORCH, node_count=2), None)[1]
    assert (env["RANK"], env["RUNYARD_WORLD_SIZE"]) == ("1", "2")
    assert "MASTER_ADDR" not in env


@pytest.mark.parametrize(
    ("distribution", "expected"),
    [
        (Distribution(), False),
        (Distribution(kind=PYTORCH), True),
        (Distribution(processes_per_node=2), True),
        (Distribution(node_count=2), True),
    ],
)
def test_a_run_of_one_process_is_told_nothing_of_others_unless_it_asks(distribution: Distribution, expected: bool) -> None:
    assert is_distributed(described(distribution)) == expected


def test_a_single_nodes_port_is_chosen_once(tmp_path: Path) -> None:
    run = described(Distribution(processes_per_node=3))
    (tmp_path / ".runyard").mkdir()
    assert meeting.of(str(tmp_path), run) is None
    first = meeting.ensured(str(tmp_path), run)
    assert meeting.ensured(str(tmp_path), run) == meeting.of(str(tmp_path), run) == first
    assert first is not None
    assert [path.name for path in (tmp_path / ".runyard").iterdir()] == ["meeting.json"]
    assert first["master_port"] == first["members"][0]["port"]


def test_the_ports_that_are_found_can_be_bound() -> None:
    first = first_free_port(3)
    for port in range(first, first + 3):
        with socket.socket() as one:
            one.bind(("127.0.0.1", port))
