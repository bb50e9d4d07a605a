"""What `runyard submit` asks a cluster for: the run's description, and what it needs of each of its nodes.

Reads from the flags and from the files that they name; writes nothing. The run takes place on other machines: of this one's
files only those are looked at that are sent.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

from runyard import settings, sizes, spans
from runyard.errors import InputError
from runyard.queue_order import Wanted
from runyard.run_ids import checked_id, fresh_run_id
from runyard.spec import CONTAINER, Resources, Spec

from . import run_distribution
from .run_flags import described


def wanted_of(args: argparse.Namespace, loaded: settings.Settings) -> Wanted:
    """What flags and file ask for, checked. Raises InputError."""
    retries, of_phases = _retries(args.retries or [])
    # cpus and memory are a node's here, and need no container; which node it is, nobody has said yet.
    changes: dict[str, Any] = {"gpus": None, "cpus": None, "memory": None, "retries": of_phases or None}
    changes |= {"node_rank": "0", "launcher": "none", "max_restarts": None}
    plain = argparse.Namespace(**vars(args) | changes)
    spec = described(plain, loaded, is_elsewhere=True)
    run_id = checked_id(args.run_id or fresh_run_id(spec.experiment), "the run id")
    plain.run_id = run_id
    gpus, cpus, memory = (
        _gpus(args.gpus, spec.resources),
        _cpus(args.cpus, spec.resources),
        args.memory or spec.resources.memory,
    )
    memory_bytes = _bytes(memory) if memory else 0
    if spec.environment.kind == CONTAINER:
        of_container = replace(spec.resources, gpus=str(gpus), cpus=cpus, memory=memory)
        spec = replace(spec, resources=of_container)
    return Wanted(
        run_id=run_id,
        spec=_spread(spec, plain, loaded),
        gpus=gpus,
        cpus=cpus,
        memory_bytes=memory_bytes,
        priority=_whole("--priority", args.priority, least=-1000, most=1000),
        max_queue_s=_span_s("--max-queue-time", args.max_queue_time),
        retries=retries,
        user=args.user,
        mlflow=not args.no_mlflow,
    )


def _spread(spec: Spec, args: argparse.Namespace, loaded: settings.Settings) -> Spec:
    if spec.distribution.max_restarts:
        raise InputError(
            "distribution.max_restarts is for `runyard run`; a queue starts a run again only where a node was lost: take it"
            " out, and give --retries"
        )
    found = run_distribution.settled(spec.distribution, args, {}, has_collector=True, launch_s=loaded.run.launch_s)
    return replace(spec, distribution=found)


def _retries(words: list[str]) -> tuple[int, list[str]]:
    """How often the run is given to other nodes, and the words that are about phases."""
    counts = [word for word in words if "=" not in word]
    if len(counts) > 1:
        raise InputError(f"--retries is given as {' and as '.join(counts)}; keep one of them")
    retries = _whole("--retries", counts[0] if counts else "0", least=0, most=1000)
    return retries, [word for word in words if "=" in word]


def _gpus(text: str | None, of_spec: Resources) -> int:
    if text is None:
        return int(of_spec.gpus) if of_spec.gpus.isdigit() else 0
    if text == "auto":
        raise InputError("--gpus auto is for `runyard run`; a queue has to know how many GPUs of each node, as in --gpus 2")
    return _whole("--gpus", text, least=0, most=9999)


def _cpus(text: str | None, of_spec: Resources) -> float:
    if text is None:
        return of_spec.cpus
    try:
        cpus = float(text)
    except ValueError:
        cpus = -1.0
    if not 0 < cpus <= 1e6:
        raise InputError(f"--cpus {text!r} is no number of CPUs; write it as in --cpus 1.5")
    return cpus


def _bytes(text: str) -> int:
    size_bytes = sizes.asked(text)
    if size_bytes is None:
        raise InputError(f"--memory {text!r} is no size; write a whole number with b, k, m or g, as in 512m or 8g")
    return size_bytes


def _whole(flag: str, text: str, *, least: int, most: int) -> int:
    digits = text.removeprefix("-")
    if not digits.isascii() or not digits.isdigit() or len(digits) > 9 or not least <= int(text) <= most:
        raise InputError(f"{flag} {text!r} cannot be used; it has to be a whole number from {least} to {most}")
    return int(text)


def _span_s(flag: str, text: str) -> float:
    span_s = spans.seconds(text)
    if span_s is None:
        raise InputError(f"{flag} {text!r} is no length of time; {spans.RIGHT}")
    return span_s
