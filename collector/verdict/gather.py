"""Gathers what a verdict is made from: the run, its nodes and processes from the catalog, and the ends of their logs.

Reads from the catalog and, through the store, from the driver logs; the reading blocks and belongs in a thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice

from runyard.collector.answers import Node, ProcessOfRun
from runyard.collector.catalog import RunRow
from runyard.collector.pulse import Pulse
from runyard.collector.report import Evidence
from runyard.collector.state import FINAL
from runyard.collector.store import Store, StoreError
from runyard.collector.streams import Stream
from runyard.collector.wish import public_path
from runyard.tracking.records import INTERACTIVE

from . import log_words
from .facts import NodeFacts, RankFacts, RunFacts

# Logs are read of so many processes, those that ended first: behind them nobody was the first to fail.
MOST_LOGS = 128
MOST_MISSING = 1000


def run_facts(row: RunRow, nodes: Sequence[Node], processes: Sequence[ProcessOfRun], pulse: Pulse) -> RunFacts:
    """All that the catalog knows of the run's newest attempt."""
    newest = max((node.attempt for node in nodes), default=0)
    current = {node.node_id: node for node in nodes if node.attempt == newest}
    ranks = tuple(_rank(process, current[process.node_id]) for process in processes if process.node_id in current)
    world_size = row.row.world_size
    known = {rank.rank for rank in ranks}
    # Where no process was ever started, nothing is to be missed.
    missing = tuple(islice((rank for rank in range(world_size) if rank not in known), MOST_MISSING)) if known else ()
    told = tuple(_node(node, row.row.run_id, pulse) for node in current.values())
    return RunFacts(row.state.status, world_size, row.state.cause, told, ranks, missing, row.row.kind == INTERACTIVE)


def _node(node: Node, run_id: str, pulse: Pulse) -> NodeFacts:
    is_lost = node.status not in FINAL and pulse.is_lost(run_id, [node.node_id])
    heard_ns = pulse.heard_ns(run_id, node.node_id) or node.heard_ns
    ended_ns = node.transitions[-1].wall_ns if node.transitions else None
    return NodeFacts(
        node.node_id, node.ip, node.status, is_lost, heard_ns, ended_ns, node.exit_code, node.cause, node.failure
    )  # fmt: skip


def _rank(process: ProcessOfRun, node: Node) -> RankFacts:
    evidence = process.evidence or Evidence()
    offset_ns = node.clock.offset_ns if node.clock else _offset_by_wall(process)

    def on_line(mono_ns: int | None) -> int | None:
        return None if mono_ns is None or offset_ns is None else mono_ns + offset_ns

    return RankFacts(
        rank=process.rank,
        node_id=process.node_id,
        node_ip=node.ip,
        status=process.status,
        exit_code=process.exit_code,
        signal=process.signal,
        ended_ns=on_line(process.ended_mono_ns) if process.ended_mono_ns is not None else process.ended_ns,
        exception_ns=on_line(evidence.exception_mono_ns),
        stopped_ns=on_line(evidence.stopped_mono_ns),
        clock_error_ns=node.clock.error_ns if node.clock else None,
        cause=evidence.cause,
        exception=evidence.exception,
        exception_first=evidence.exception_first,
        error_file=evidence.error_file,
        oom=evidence.oom,
        stopped_by=evidence.stopped_by,
        log=process.log,
    )


def _offset_by_wall(process: ProcessOfRun) -> int | None:
    """Without a measured clock: the node's own wall clock, by what both of its clocks said at the process's end."""
    if process.ended_ns is None or process.ended_mono_ns is None:
        return None
    return process.ended_ns - process.ended_mono_ns


def with_logs(run: RunFacts, streams: Sequence[Stream], store: Store, attempt: int) -> RunFacts:
    """The same with what the ends of the logs tell, and with the logs' paths as the API names them. Blocks."""
    is_single = len(run.nodes) <= 1
    rows = [stream for stream in streams if not stream.row.is_superseded and stream.row.attempt == attempt]
    by_log = {(stream.node_id, stream.row.name): stream for stream in rows}
    ended = sorted(run.ranks, key=lambda rank: (rank.ended_ns is None, rank.ended_ns or 0))
    wanted = {rank.rank for rank in ended if rank.exit_code != 0}
    wanted = {rank.rank for rank in [one for one in ended if one.rank in wanted][:MOST_LOGS]}

    def told(rank: RankFacts) -> RankFacts:
        stream = by_log.get((rank.node_id, rank.log))
        if stream is None:
            return replace(rank, log="")
        path = public_path(stream.row, is_single=is_single)
        if rank.rank not in wanted:
            return replace(rank, log=path)
        data, base = _tail(stream, store.read)
        return replace(rank, log=path, words=log_words.read(data, base, rank.exception))

    return replace(run, ranks=tuple(told(rank) for rank in run.ranks))


def _tail(stream: Stream, read: Callable[[str, int, int], bytes]) -> tuple[bytes, int]:
    base = max(0, stream.offset - log_words.TAIL_BYTES)
    try:
        return read(stream.key, base, stream.offset - base), base
    except StoreError:  # an administrator removed it: the verdict goes without
        return b"", base
