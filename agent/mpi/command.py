"""The command line and the environment that the site's mpirun is started with. Pure; standard library only.

What is ours goes into the environment wherever it can: an MCA parameter may be given only once on the command line, and the
user's own words (--mpi-arg), which come last there, then win.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

MPIRUN = "mpirun"
LOCAL = "localhost"
# mpirun would start its daemons through the batch system that these name, or take itself for a part of another job.
_FOREIGN_PREFIXES = ("SLURM", "PBS_", "LSB_", "PMI_", "PMI2_", "PMIX_", "OMPI_COMM_WORLD_", "HYDI_", "MPIR_CVAR_CH4_OFI_")
_KEPT_PREFIXES = ("PMIX_MCA_",)
# Each node has a Python and an installation of its own; so a rank finds them where it is started.
PROGRAM = ("/bin/sh", "-c", 'exec "$RUNYARD_PYTHON" -I -S "$RUNYARD_MPI_RANK"')
AGENT_SCRIPT = b'#!/bin/sh\nexec "$RUNYARD_PYTHON" -I -S "$RUNYARD_MPI_START" "$@"\n'
_FOLDER = os.path.dirname(os.path.abspath(__file__))


def argv(members: Sequence[Mapping[str, Any]], own: Sequence[str], *, is_hydra: bool) -> list[str]:
    """mpirun's command line; `own` are the user's words for it."""
    counts = [(str(member["ip"]), int(member["processes"])) for member in members]
    hosts = ",".join(f"{ip}:{count}" for ip, count in counts)
    total = str(sum(count for _, count in counts))
    # Hydra would have the head's variables be those of every node.
    ours = ["-genvnone", "-hosts", hosts] if is_hydra else ["--host", hosts, "--map-by", "slot"]
    return [MPIRUN, *ours, "-np", total, *own, *PROGRAM]


def start_variables() -> dict[str, str]:
    """By which mpirun knows our agent; they are no driver's, which may want to call an mpirun of its own."""
    agent = f"{sys.executable} -I -S {_FOLDER}/remote_start.py"
    return {
        # Open MPI 4. Daemons that stay attached keep the connection by which each side learns of the other's end.
        "OMPI_MCA_plm": "rsh",
        "OMPI_MCA_plm_rsh_agent": agent,
        "OMPI_MCA_plm_rsh_no_tree_spawn": "1",
        "OMPI_MCA_orte_leave_session_attached": "1",
        # Open MPI 5.
        "PRTE_MCA_plm": "ssh",
        "PRTE_MCA_plm_ssh_agent": agent,
        "PRTE_MCA_plm_ssh_no_tree_spawn": "1",
        "PRTE_MCA_prte_leave_session_attached": "1",
        # MPICH and its kin.
        "HYDRA_LAUNCHER": "rsh",
    }


def environment(base: Mapping[str, str], run_dir: str, *, is_root: bool) -> dict[str, str]:
    """What mpirun, or a node's part of it, is given over the run's own environment `base`."""
    kept = {
        name: value for name, value in base.items() if name.startswith(_KEPT_PREFIXES) or not name.startswith(_FOREIGN_PREFIXES)
    }
    start = start_variables()
    if is_root:  # Open MPI asks root twice whether it means it. The run's user is who started `runyard run`: it was meant.
        names = ("OMPI_ALLOW_RUN_AS_ROOT", "PRTE_ALLOW_RUN_AS_ROOT")
        start |= {name: "1" for one in names for name in (one, f"{one}_CONFIRM")}
    ours = {
        "RUNYARD_RUN_DIR": run_dir,
        "RUNYARD_RANK": "mpi",
        "RUNYARD_PYTHON": sys.executable,
        "RUNYARD_MPI_RANK": f"{_FOLDER}/rank.py",
        "RUNYARD_MPI_START": f"{_FOLDER}/remote_start.py",
    }
    return kept | start | ours


def why_not(executable: str = sys.executable, folder: str = _FOLDER) -> str:
    """Why mpirun could not start our agent, as a sentence; empty where it can."""
    for path in (executable, folder):
        if " " in path or ":" in path:
            return f"mpirun takes no remote-start agent whose path has a space or a colon, and Runyard lies in {path!r}"
    return ""
