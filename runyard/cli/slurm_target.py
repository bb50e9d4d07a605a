"""`slurm:PARTITION` where a cluster is named: a partition of the Slurm that this machine belongs to. Pure."""

from __future__ import annotations

import re

from runyard.errors import InputError

PREFIX = "slurm:"
_PARTITION = re.compile(r"[A-Za-z0-9_.-]{1,64}(,[A-Za-z0-9_.-]{1,64})*")


def is_slurm(cluster: str) -> bool:
    """Whether Slurm is meant, and no cluster of the collector's own."""
    return cluster == "slurm" or cluster.startswith(PREFIX)


def partition_of(cluster: str) -> str:
    """The partition; empty: Slurm's default one. Raises InputError."""
    partition = cluster.removeprefix("slurm").removeprefix(":")
    if partition and not _PARTITION.fullmatch(partition):
        raise InputError(
            f"--cluster {cluster!r} names no partition of Slurm; write it as in slurm:gpu, or slurm for the default one"
        )
    return partition
