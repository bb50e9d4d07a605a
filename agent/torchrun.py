"""A user's own torchrun: whether a command starts one, with which flags, and how it is told of the run's nodes.

torchrun takes its flags also from variables, PET_<FLAG>, which no other program reads; a flag on its command line wins.
Pure, standard library only.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # importing typing would cost the start of every run 5 ms
if TYPE_CHECKING:
    from typing import Any

_MODULES = ("torch.distributed.run", "torch.distributed.launch")
# torchrun's flags that take no value.
_BARE = frozenset((
    *("--standalone", "-m", "--module", "--no-python", "--no_python", "--run-path", "--run_path", "-h", "--help"),
    *("--virtual-local-rank", "--virtual_local_rank", "--use-env", "--use_env"),
))  # fmt: skip
# Whoever says one of these has a way of their own for the nodes to meet.
_OF_NODES = ("--nnodes", "--node-rank", "--master-addr", "--master-port", "--rdzv-backend", "--rdzv-endpoint", "--rdzv-id",
             "--rdzv-conf", "--standalone")  # fmt: skip
_VARIABLES_OF_NODES = tuple("PET_" + flag[2:].upper().replace("-", "_") for flag in _OF_NODES)


def flags_of(argv: list[str]) -> list[str] | None:
    """torchrun's own flags, without those of the script that it starts; None where no torchrun is started."""
    for position, word in enumerate(argv):
        if os.path.basename(word) == "torchrun" or (word in _MODULES and argv[position - 1] == "-m"):
            return _own_flags(argv[position + 1 :])
    return None


def says(flags: list[str], known: tuple[str, ...]) -> bool:
    """Whether one of the flags is one of the long ones that are `known`, also cut short, as argparse allows."""
    names = [flag.partition("=")[0].replace("_", "-") for flag in flags if flag.startswith("--")]
    return any(one.startswith(name) for name in names for one in known)


def node_variables(
    flags: list[str], env: dict[str, str], run: dict[str, Any], meeting: dict[str, Any] | None
) -> dict[str, str]:
    """By which the torchrun of each node finds those of the others, unless flags or `env` say it; `run` is the run.json."""
    distribution = run.get("distribution") or {}
    if distribution.get("node_count", 1) == 1 or len(run["ranks"]) > 1 or meeting is None:
        return {}
    if says(flags, _OF_NODES) or any(name in env for name in _VARIABLES_OF_NODES):
        return {}
    return {
        "PET_NNODES": str(distribution["node_count"]),
        "PET_NODE_RANK": str(distribution["node_rank"]),
        "PET_MASTER_ADDR": str(meeting["master_addr"]),
        "PET_MASTER_PORT": str(meeting["master_port"]),
    }


def _own_flags(words: list[str]) -> list[str]:
    found, is_value = [], False
    for word in words:
        if is_value:
            is_value = False
        elif word.startswith("-") and word != "--":
            found.append(word)
            is_value = word not in _BARE and "=" not in word and (word.startswith("--") or len(word) == 2)
        else:
            break  # the script
    return found
