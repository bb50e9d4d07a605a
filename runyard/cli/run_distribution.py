"""The flags of `runyard run` that say how a run is spread over processes and nodes, put over what a run.toml says.

Loaded only where one of them is given, a description says so, or a Slurm step starts us. Reads variables; writes nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from runyard import distribution, spans
from runyard.distribution import Distribution
from runyard.errors import InputError

from .run_common import BARE, SLURM_MARK

LAUNCHERS = ("auto", "none", "slurm")

_COUNTS = {
    "nproc_per_node": "processes_per_node",
    "nnodes": "node_count",
    "node_rank": "node_rank",
    "parameter_servers": "parameter_servers",
    "max_restarts": "max_restarts",
}
_SPANS = {"failure_grace": "failure_grace_s", "stall_after": "stall_after_s", "rendezvous": "rendezvous_s"}
_WORDS = {"distribution": "kind", "on_failure": "on_failure"}


def over(base: Distribution, args: argparse.Namespace) -> Distribution:
    """`base` with the flags in it; a flag wins, --mpi-arg is added. Raises InputError."""
    changes: dict[str, Any] = {}
    for flag, member in _COUNTS.items():
        if getattr(args, flag) is not None:
            changes[member] = _count(_shown(flag), getattr(args, flag))
    for flag, member in _SPANS.items():
        if getattr(args, flag) not in (None, BARE):
            changes[member] = _span_s(_shown(flag), getattr(args, flag))
    for flag, member in _WORDS.items():
        if getattr(args, flag) is not None:
            changes[member] = getattr(args, flag)
    if args.mpi_arg:
        changes["mpi_args"] = (*base.mpi_args, *args.mpi_arg)
    return replace(base, **changes)


def settled(
    asked: Distribution,
    args: argparse.Namespace,
    environ: Mapping[str, str],
    *,
    has_collector: bool,
    launch_s: float,
) -> Distribution:
    """What takes place on this node, with what a launcher says of it, checked. Raises InputError."""
    found = _launched(asked, "auto" if args.launcher is None else args.launcher, environ)
    is_step = found is not asked  # then all of its nodes are told the same by Slurm
    if found.kind == distribution.MPI and found.launcher == distribution.SHEPHERD:
        found = replace(found, launcher=distribution.MPIRUN)
    found = replace(found, launch_s=launch_s)
    why = distribution.why_wrong(found) or _why_not_here(found, args, has_collector, is_step)
    if why:
        raise InputError(why)
    return found


def _launched(asked: Distribution, launcher: str, environ: Mapping[str, str]) -> Distribution:
    if launcher not in LAUNCHERS:
        raise InputError(f"--launcher is {launcher!r}; it has to be one of {', '.join(LAUNCHERS)}")
    if launcher == "none":
        return asked
    if not environ.get(SLURM_MARK):
        if launcher == "slurm":
            raise InputError(f"--launcher slurm: this is no step of Slurm ({SLURM_MARK} is not set); start it with srun")
        return asked
    from runyard.agent.slurm import distribution_from

    wanted = replace(asked, launcher=distribution.SLURM) if launcher == "slurm" else asked
    return distribution_from(environ, wanted) or asked


def _why_not_here(found: Distribution, args: argparse.Namespace, has_collector: bool, is_step: bool) -> str:
    """What a run of that kind needs beside its distribution."""
    if found.launcher == distribution.SLURM and found.max_restarts:
        return "--max-restarts is not for tasks that Slurm starts; leave it out, or have one task per node and --launcher auto"
    if found.node_count == 1:
        return ""
    several = f"a run on {found.node_count} nodes (--nnodes)"
    if not has_collector:
        return f"{several} needs a collector, where its nodes meet; name it with --collector or RUNYARD_COLLECTOR_URL"
    if is_step:
        return ""
    if not args.run_id:
        return f"{several} needs a run id that all of its nodes are given; name it with --run-id"
    if args.node_rank is None:
        return f"{several} needs to know which one this is; give --node-rank, 0 on the head node"
    return ""


def _count(flag: str, text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise InputError(f"{flag} {text!r} is no whole number; write it as in {flag} 2")
    return int(text)


def _span_s(flag: str, text: str) -> float:
    span_s = spans.seconds(text)
    if span_s is None:
        raise InputError(f"{flag} {text!r} is no length of time; {spans.RIGHT}")
    return span_s


def _shown(flag: str) -> str:
    return "--" + flag.replace("_", "-")
