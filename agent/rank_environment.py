"""The variables by which a process of a distributed run finds the others: Runyard's, Azure ML's, PyTorch's, TensorFlow's.

Pure, standard library only: from run.json, from what the nodes' meeting came to (agent/meeting.py), and the rank.

TensorFlow wants a port of every process: that is the member's port plus the local rank. All of them were free when the node
joined (on a single node: when the meeting was written down); nothing holds them until the training binds them.
"""

from __future__ import annotations

from runyard import quick_json

TYPE_CHECKING = False  # importing typing would cost the start of every run 5 ms
if TYPE_CHECKING:
    from typing import Any

# runyard/distribution.py has these, too; importing it would bring dataclasses along.
_NONE, _PYTORCH, _TENSORFLOW = "none", "pytorch", "tensorflow"


def is_distributed(run: dict[str, Any]) -> bool:
    """Whether the run's processes are to know of each other; `run` is its run.json."""
    return bool(run["world_size"] > 1 or (run.get("distribution") or {}).get("kind", _NONE) != _NONE)


def task_of(run: dict[str, Any], rank: int) -> tuple[str, int]:
    """(type, index) of a process: worker, or of TensorFlow's the last ones ps; each type is counted from 0."""
    servers = int((run.get("distribution") or {}).get("parameter_servers") or 0)
    workers = run["world_size"] - servers
    return ("worker", rank) if rank < workers else ("ps", rank - workers)


def variables(run: dict[str, Any], meeting: dict[str, Any] | None, rank: int, *, gpus: int = 0) -> dict[str, str]:
    """What the process `rank` is given. Where the nodes have not met (`meeting` is None), only what is known without.

    `meeting`: {"members":[{"node_rank","ip","port","processes","ranks"?},…],"master_addr","master_port"}; `gpus`: of this node.
    """
    kind = (run.get("distribution") or {}).get("kind", _NONE)
    found = _of_every_kind(run, rank, gpus)
    if meeting is not None:
        found |= _of_meeting(run, meeting)
    if kind == _PYTORCH:
        found |= _of_pytorch(run, meeting, rank)
    if kind == _TENSORFLOW and meeting is not None:
        found["TF_CONFIG"] = quick_json.dumps(tf_config(run, meeting, rank))
    return found


def _of_every_kind(run: dict[str, Any], rank: int, gpus: int) -> dict[str, str]:
    distribution = run.get("distribution") or {}
    task, index = task_of(run, rank)
    return {
        "RUNYARD_RANK": str(rank),
        "RUNYARD_LOCAL_RANK": str(run["ranks"].index(rank)),
        "RUNYARD_WORLD_SIZE": str(run["world_size"]),
        "RUNYARD_NODE_RANK": str(distribution.get("node_rank", 0)),
        "AZUREML_NODE_COUNT": str(distribution.get("node_count", 1)),
        "AZ_BATCHAI_TASK_TYPE": task,
        "AZ_BATCHAI_TASK_INDEX": str(index),
        "AZ_BATCHAI_GPU_COUNT_FOUND": str(gpus),
    }


def _of_meeting(run: dict[str, Any], meeting: dict[str, Any]) -> dict[str, str]:
    is_master = (run.get("distribution") or {}).get("node_rank", 0) == 0
    return {
        "AZ_BATCH_HOST_LIST": ",".join(str(member["ip"]) for member in meeting["members"]),
        "AZ_BATCH_MASTER_NODE": address(meeting["master_addr"], meeting["master_port"]),
        "AZ_BATCH_IS_CURRENT_NODE_MASTER": "true" if is_master else "false",
    }


def _of_pytorch(run: dict[str, Any], meeting: dict[str, Any] | None, rank: int) -> dict[str, str]:
    node_rank = str((run.get("distribution") or {}).get("node_rank", 0))
    found = {
        "WORLD_SIZE": str(run["world_size"]),
        "RANK": str(rank),
        "LOCAL_RANK": str(run["ranks"].index(rank)),
        "LOCAL_WORLD_SIZE": str(len(run["ranks"])),
        "NODE_RANK": node_rank,
        "GROUP_RANK": node_rank,
    }
    if meeting is not None:
        addr, port = str(meeting["master_addr"]), str(meeting["master_port"])
        found |= {"MASTER_ADDR": addr, "MASTER_PORT": port, "AZ_BATCHAI_PYTORCH_INIT_METHOD": f"tcp://{address(addr, port)}"}
    return found


def tf_config(run: dict[str, Any], meeting: dict[str, Any], rank: int) -> dict[str, Any]:
    """TF_CONFIG as a value: the workers by rank, then the parameter servers, each with an address of its own."""
    cluster: dict[str, list[str]] = {"worker": []}
    for other, where in sorted(_addresses(meeting)):
        cluster.setdefault(task_of(run, other)[0], []).append(where)
    task, index = task_of(run, rank)
    return {"cluster": cluster, "task": {"type": task, "index": index}}


def _addresses(meeting: dict[str, Any]) -> list[tuple[int, str]]:
    """(rank, "ip:port") of every process. Without `ranks`, the nodes' processes follow one another by node rank."""
    found, first = [], 0
    for member in meeting["members"]:
        ranks = member.get("ranks") or range(first, first + member["processes"])
        first += member["processes"]
        found += [(rank, address(member["ip"], member["port"] + local)) for local, rank in enumerate(ranks)]
    return found


def address(host: str, port: int | str) -> str:
    """host:port; an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
