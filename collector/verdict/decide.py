"""Which process or node of a run failed first, from what is known of all of them. Pure.

Reasons of their own come before consequences, the earlier before the later, as far as the clocks can tell. Where there are only
consequences, the reason is whatever did not speak: a rank that never started, a node that is gone, a rank that hangs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .facts import NodeFacts, RankFacts, RunFacts
from .signatures import CASCADE, ROOT, WAITING, named_ranks
from .suspect import DONE, SILENT, STRONG, Suspect, exception_of, look

# Another reason that comes so soon after the first may be its cause all the same.
SOON_NS = 10**9
# A peer notices a death before the dead one's exit is written down, and before an exception is told: by so much, not by more.
NOTICED_BEFORE_NS = 2 * 10**9
# A node tells that it lives about that often.
HEARTBEAT_NS = 15 * 10**9
# Of those that failed at the same time the sentence names so many.
MOST_NAMED = 8

_ORDINARY = ("", "driver", "release", "rendezvous")


@dataclass(frozen=True, slots=True)
class Decision:
    """`chosen` are the suspects that the sentence names, the first one first; `others` came after it."""

    kind: str
    confidence: str
    sentence: str
    rank: int | None = None
    node: NodeFacts | None = None
    chosen: tuple[Suspect, ...] = ()
    others: tuple[Suspect, ...] = ()


def decide(run: RunFacts) -> Decision | None:
    """The decision; None where nothing has failed."""
    suspects = sorted((look(rank, run) for rank in run.ranks), key=_moment)
    if run.status == "Canceled" or not _has_failed(run, suspects):
        return None
    return (
        _phase(run)
        or _lost_first(run, suspects)
        or _root(run, suspects)
        or _never_started(run, suspects)
        or _lost(run, suspects)
        or _early(run, suspects)
        or _launcher(run)
        or _hang(run, suspects)
        or _first_cascade(run, suspects)
        or _whole(run)
    )


def _has_failed(run: RunFacts, suspects: Sequence[Suspect]) -> bool:
    has_failed = run.status == "Failed" or any(node.is_lost or node.status == "Failed" for node in run.nodes)
    return has_failed or any(one.role in (ROOT, CASCADE, WAITING) for one in suspects)


def _moment(suspect: Suspect) -> tuple[bool, int, int]:
    return suspect.at_ns is None, suspect.at_ns or 0, suspect.rank.rank


def _of(suspects: Sequence[Suspect], *roles: str) -> list[Suspect]:
    return [one for one in suspects if one.role in roles]


def _named(run: RunFacts, rank: RankFacts) -> str:
    if run.is_alone:
        return "the process"
    return f"rank {rank.rank}" + (f" on {rank.node_ip}" if rank.node_ip else "")


def _node_of(run: RunFacts, node_id: str) -> NodeFacts | None:
    return next((node for node in run.nodes if node.node_id == node_id), None)


def _phase(run: RunFacts) -> Decision | None:
    """A phase before the driver, on the first node that failed there."""
    bad = [node for node in run.nodes if node.failure is not None and node.failure.phase not in _ORDINARY]
    if not bad:
        waiting = [node for node in run.nodes if node.failure is not None and node.failure.phase == "rendezvous"]
        if not waiting:
            return None
        cause = waiting[0].failure.cause if waiting[0].failure else ""
        return Decision("phase", "high", f"the nodes did not come together: {cause}", node=waiting[0])
    bad.sort(key=lambda node: node.ended_ns or 0)
    node = bad[0]
    assert node.failure is not None
    where = f" on {node.ip}" if len(run.nodes) > 1 and node.ip else ""
    more = f"; it failed on {len(bad)} nodes" if len(bad) > 1 else ""
    sentence = f"{node.failure.phase} failed{where}, before any training: {node.failure.cause}{more}"
    is_same = len({one.failure.cause for one in bad if one.failure}) == 1
    return Decision("phase", "high" if len(bad) == 1 or is_same else "medium", sentence, node=node)


def _root(run: RunFacts, suspects: Sequence[Suspect]) -> Decision | None:
    roots = _of(suspects, ROOT)
    if not roots:
        return _time_limit(run)
    first = roots[0]
    rivals = [one for one in roots[1:] if one.same != first.same and _are_close(first, one)]
    if rivals:
        return _among(run, first, rivals, suspects)
    return _told(run, first, _confidence(run, first, roots, suspects), suspects)


def _time_limit(run: RunFacts) -> Decision | None:
    """The run's own time limit: nothing had failed before."""
    node = next((node for node in run.nodes if node.exit_code == 124 and "time limit" in node.cause), None)
    if node is None:
        return None
    return Decision("timeout", "high", f"the run was {node.cause}; nothing had failed before", node=node)


def _error_ns(one: Suspect, other: Suspect) -> int:
    """What two moments may be off by. Two processes of a node have the same clock."""
    clocks_ns = 0 if one.rank.node_id == other.rank.node_id else one.clock_ns + other.clock_ns
    return one.noticed_ns + other.noticed_ns + clocks_ns


def _are_close(one: Suspect, other: Suspect) -> bool:
    if one.at_ns is None or other.at_ns is None:
        return True
    return abs(other.at_ns - one.at_ns) <= _error_ns(one, other)


def _among(run: RunFacts, first: Suspect, rivals: list[Suspect], suspects: Sequence[Suspect]) -> Decision:
    """Several reasons so close that no clock tells which was first."""
    close = [first, *rivals]
    best = max(one.strength for one in close)
    strongest = [one for one in close if one.strength == best]
    if len(strongest) == 1:
        return _told(run, strongest[0], "medium", suspects)
    words = "; ".join(f"{_named(run, one.rank)} {one.why}" for one in strongest[:MOST_NAMED])
    words += f"; and {_count(len(strongest) - MOST_NAMED)}" if len(strongest) > MOST_NAMED else ""
    sentence = f"at the same time, as far as the clocks can tell: {words}"
    node = _node_of(run, first.rank.node_id)
    chosen = tuple(strongest)
    rank = strongest[0].rank.rank
    return Decision(strongest[0].kind, "low", sentence, rank, node, chosen, _after(suspects, chosen))


def _confidence(run: RunFacts, first: Suspect, roots: list[Suspect], suspects: Sequence[Suspect]) -> str:
    if run.is_alone:
        return "medium" if first.is_vague else "high"
    is_unsure = first.is_vague or first.at_ns is None
    is_unsure |= first.rank.clock_error_ns is None and len(run.nodes) > 1
    is_unsure |= bool(run.missing) and first.strength < STRONG
    for one in roots[1:]:
        is_soon = first.at_ns is None or one.at_ns is None or one.at_ns - first.at_ns <= SOON_NS
        is_unsure |= one.same != first.same and is_soon and one.strength >= first.strength
    for one in _of(suspects, CASCADE, WAITING):
        is_before = one.at_ns is not None and first.at_ns is not None and one.at_ns < first.at_ns - NOTICED_BEFORE_NS
        is_unsure |= is_before
    return "medium" if is_unsure else "high"


def _told(run: RunFacts, first: Suspect, confidence: str, suspects: Sequence[Suspect]) -> Decision:
    same = [one for one in suspects if one is not first and one.role == ROOT and one.same == first.same]
    before = "" if run.is_alone else " first"
    sentence = (
        f"{_named(run, first.rank)} {first.why}"
        if run.is_alone
        else f"{_named(run, first.rank)} failed{before}: it {first.why}"
    )
    if same:
        sentence += f"; {_count(len(same))} failed in the same way"
    torn = len([one for one in _of(suspects, CASCADE, WAITING) if one is not first])
    if torn:
        sentence += f"; {_count(torn)} failed after it, for want of a peer"
    node = _node_of(run, first.rank.node_id)
    return Decision(first.kind, confidence, sentence, first.rank.rank, node, (first,), _after(suspects, (first,)))


def _count(count: int) -> str:
    return "one other" if count == 1 else f"{count} others"


def _after(suspects: Sequence[Suspect], chosen: tuple[Suspect, ...]) -> tuple[Suspect, ...]:
    numbers = {one.rank.rank for one in chosen}
    return tuple(one for one in suspects if one.role in (ROOT, CASCADE, WAITING) and one.rank.rank not in numbers)


def _never_started(run: RunFacts, suspects: Sequence[Suspect]) -> Decision | None:
    if not run.missing or not _of(suspects, CASCADE, WAITING):
        return None
    lost = [node for node in run.nodes if node.is_lost]
    if lost:
        return None
    ranks = ", ".join(map(str, run.missing[:20]))
    word = f"rank {ranks} has" if len(run.missing) == 1 else f"the ranks {ranks} have"
    told = tuple(_of(suspects, CASCADE, WAITING))
    sentence = f"{word} never started; the others waited in vain"
    return Decision("never-started", "high", sentence, run.missing[0], None, (), told)


def _lost_first(run: RunFacts, suspects: Sequence[Suspect]) -> Decision | None:
    """A node that fell silent before anything else failed."""
    lost = sorted((node for node in run.nodes if node.is_lost), key=lambda node: node.heard_ns or 0)
    roots = _of(suspects, ROOT)
    if not lost or not roots:
        return None
    first_ns, heard_ns = roots[0].at_ns, lost[0].heard_ns
    if first_ns is None or heard_ns is None or first_ns <= heard_ns + roots[0].noticed_ns + roots[0].clock_ns:
        return None
    return _of_lost(run, lost, suspects, "medium")


def _lost(run: RunFacts, suspects: Sequence[Suspect]) -> Decision | None:
    lost = sorted((node for node in run.nodes if node.is_lost), key=lambda node: node.heard_ns or 0)
    if not lost:
        return None
    torn = _of(suspects, CASCADE, WAITING)
    is_before = any(
        one.at_ns is not None and lost[0].heard_ns is not None and one.at_ns < lost[0].heard_ns - HEARTBEAT_NS for one in torn
    )
    return _of_lost(run, lost, suspects, "high" if torn and not is_before and len(lost) == 1 else "medium")


def _of_lost(run: RunFacts, lost: list[NodeFacts], suspects: Sequence[Suspect], confidence: str) -> Decision:
    node = lost[0]
    there = [rank.rank for rank in run.ranks if rank.node_id == node.node_id]
    if not there and len(lost) == 1:
        there = list(run.missing[:20])  # it was gone before it had told of its processes
    whose = f" with rank{'s' if len(there) > 1 else ''} {', '.join(map(str, sorted(there)))}" if there else ""
    sentence = f"the node {node.ip or node.node_id}{whose} is not heard from any more"
    told = tuple(_of(suspects, CASCADE, WAITING, ROOT))
    return Decision("lost-contact", confidence, sentence, min(there, default=None), node, (), told)


def _early(run: RunFacts, suspects: Sequence[Suspect]) -> Decision | None:
    """A rank that ended well while the others still needed it."""
    torn, done = _of(suspects, CASCADE, WAITING), _of(suspects, DONE)
    early = [one for one in done if torn and one.at_ns is not None and one.at_ns <= (torn[0].at_ns or 0) + NOTICED_BEFORE_NS]
    if not early:
        return None
    first = early[0]
    left = f"{_named(run, torn[0].rank)} {torn[0].why}"
    sentence = f"{_named(run, first.rank)} ended with exit code 0 while others still needed it: {left}"
    confidence = "medium" if len(early) == 1 else "low"
    return Decision(
        "early-exit", confidence, sentence, first.rank.rank, _node_of(run, first.rank.node_id), (first,), tuple(torn)
    )


def _launcher(run: RunFacts) -> Decision | None:
    """What starts the ranks has failed itself: no rank tells of a reason."""
    for node in run.nodes:
        if node.failure is not None and (node.failure.log or "").endswith("70_mpi_log.txt"):
            return Decision("launcher", "high", f"mpirun could not run the ranks: {node.failure.cause}", node=node)
    return None


def _hang(run: RunFacts, suspects: Sequence[Suspect]) -> Decision | None:
    """All that failed waited for somebody: one that neither failed nor ended."""
    waiting, silent = _of(suspects, WAITING), _of(suspects, SILENT)
    if not waiting or not silent:
        return None
    named = {rank for one in waiting for rank in named_ranks(_text_of(one))}
    hinted = [one for one in silent if one.rank.rank in named]
    chosen = hinted or silent
    is_sure = len(chosen) == 1 and (bool(hinted) or len(waiting) > 1)
    confidence = "high" if is_sure else "medium" if len(chosen) == 1 else "low"
    who = ", ".join(str(one.rank.rank) for one in chosen[:20])
    word = f"{_named(run, chosen[0].rank)} hung" if len(chosen) == 1 else f"one of the ranks {who} hung"
    sentence = f"{word}: it neither failed nor went on, and {_named(run, waiting[0].rank)} {waiting[0].why}"
    node = _node_of(run, chosen[0].rank.node_id)
    return Decision("hang", confidence, sentence, chosen[0].rank.rank, node, tuple(chosen), tuple(waiting))


def _text_of(suspect: Suspect) -> str:
    lines = [*exception_of(suspect.rank), *(passage.text for _, passage in suspect.rank.words.found)]
    return "\n".join(lines)


def _first_cascade(run: RunFacts, suspects: Sequence[Suspect]) -> Decision | None:
    torn = _of(suspects, CASCADE, WAITING)
    if not torn:
        return None
    first = torn[0]
    sentence = f"{_named(run, first.rank)} failed first: it {first.why}; whose failure it followed from is not known"
    node = _node_of(run, first.rank.node_id)
    return Decision(first.kind, "low", sentence, first.rank.rank, node, (first,), _after(suspects, (first,)))


def _whole(run: RunFacts) -> Decision:
    """Only the run's own word is left."""
    node = next((node for node in run.nodes if node.failure is not None), None) or next(iter(run.nodes), None)
    failure = node.failure if node else None
    kind = "phase" if failure is not None and failure.phase == "release" else "exit-code"
    cause = (failure.cause if failure else "") or run.cause or "nothing is known of why"
    place = f"{failure.phase} failed: " if failure is not None and failure.phase == "release" else "the run failed: "
    return Decision(kind, "low" if kind == "exit-code" else "high", place + cause, node=node)
