"""A rank of an MPI run: what mpirun is given as its program; a process for each rank, on the rank's own node.

mpirun's part on the node starts this file itself. Reads $RUNYARD_RUN_DIR, which each node has set for its own, and the rank
from what the launcher has put into the environment; becomes the rank's capture (agent/rank.py). What mpirun was asked to hand
on to the ranks (-x) goes to the driver. Standard library only.
"""

from __future__ import annotations

import os
import sys

RANK_VARIABLES = ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK")
_OF_SHELL = frozenset(("PWD", "OLDPWD", "SHLVL", "_"))


def main() -> None:
    """Entry point of the process. Never returns."""
    from runyard.agent.rank import EXIT_NOT_STARTED, end_like, run_rank
    from runyard.atomic import read_json
    from runyard.names import ENVIRONMENT_FILE

    from .command import start_variables

    rank, run_dir = -1, os.environ.get("RUNYARD_RUN_DIR", "")
    try:
        rank = next(int(os.environ[name]) for name in RANK_VARIABLES if name in os.environ)
        for name in (*start_variables(), "HYDRA_LAUNCHER_EXEC"):
            os.environ.pop(name, None)
        launch = read_json(os.path.join(run_dir, ENVIRONMENT_FILE)) or {}
        code = run_rank(run_dir, rank, given(dict(os.environ), launch.get("env") or {}))
    except BaseException as error:  # noqa: BLE001 - the launcher needs an exit code, and people one sentence
        print(f"runyard: rank {rank} cannot be started: {error}", file=sys.stderr, flush=True)
        os._exit(EXIT_NOT_STARTED)
    end_like(run_dir, rank, code)


def given(environ: dict[str, str], base: dict[str, str]) -> dict[str, str]:
    """Of this process's environment, what the launcher has added to what it was started with. Ours is none of the driver's."""
    return {
        name: value
        for name, value in environ.items()
        if base.get(name) != value and not name.startswith("RUNYARD_") and name not in _OF_SHELL
    }


if __name__ == "__main__":
    sys.path.append(os.path.abspath(__file__).removesuffix("/runyard/agent/mpi/rank.py"))
    from runyard.agent.mpi.rank import main as installed_main

    installed_main()
