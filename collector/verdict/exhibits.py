"""A decision as an answer: its sentence, the evidence with its places, and the order in which the processes ended. Pure."""

from __future__ import annotations

from typing import Any

from .answer import End, Exhibit, Verdict
from .decide import Decision
from .facts import RankFacts, RunFacts
from .log_words import MOST_CHARACTERS, Passage
from .suspect import EXCEPTION_NOTED_NS, EXIT_NOTICED_NS, SILENT, Suspect, exception_of, signal_name

# Consequences and ends that are shown; the rest is in the run's processes.
MOST_CHOSEN = 8
MOST_OTHERS = 5
MOST_ENDS = 200


def verdict(run: RunFacts, decision: Decision | None) -> Verdict:
    """The answer."""
    order = _order(run)
    if decision is None:
        return Verdict(
            is_decided=False, rank=None, node_id=None, node_ip=None, confidence="low", kind="",
            sentence="nothing of this run has failed", evidence=[], order=order,
        )  # fmt: skip
    shown: Any = decision  # its words are those of the answer's types
    return Verdict(
        is_decided=True,
        rank=decision.rank,
        node_id=decision.node.node_id if decision.node else None,
        node_ip=decision.node.ip if decision.node else None,
        confidence=shown.confidence,
        kind=shown.kind,
        sentence=decision.sentence,
        evidence=_evidence(decision),
        order=order,
    )


def _evidence(decision: Decision) -> list[Exhibit]:
    found = [exhibit for one in decision.chosen[:MOST_CHOSEN] for exhibit in _of_chosen(one)]
    if not decision.chosen and decision.node is not None and decision.node.failure is not None:
        failure = decision.node.failure
        found.append(
            Exhibit(
                rank=None,
                node=decision.node.ip,
                what=f"failure in {failure.phase}",
                log=failure.log,
                start=failure.start,
                end=failure.end,
                text=failure.cause,
                wall_ns=decision.node.ended_ns,
            )
        )
    return found + [_consequence(one) for one in decision.others[:MOST_OTHERS]]


def _exhibit(rank: RankFacts, what: str, text: str, wall_ns: int | None = None, passage: Passage | None = None) -> Exhibit:
    place = passage if rank.log else None
    return Exhibit(
        rank=rank.rank, node=rank.node_ip, what=what, log=rank.log if place else None, start=place.start if place else None,
        end=place.end if place else None, text=text[:MOST_CHARACTERS], wall_ns=wall_ns,
    )  # fmt: skip


def _of_chosen(suspect: Suspect) -> list[Exhibit]:
    rank, words = suspect.rank, suspect.rank.words
    found = [_exhibit(rank, "end", _how(rank), rank.ended_ns)]
    if rank.oom:
        found.append(_exhibit(rank, "memory", rank.oom))
    if rank.exception:
        found.append(_exhibit(rank, "exception", rank.exception, rank.exception_ns))
    if words.traceback is not None and (suspect.kind == "exception" or rank.exception):
        found.append(_exhibit(rank, "traceback", words.traceback.passage.text, None, words.traceback.passage))
    elif words.found:
        signature, passage = next((one for one in words.found if one[0] is suspect.signature), words.found[-1])
        found.append(_exhibit(rank, f"signature {signature.id}", passage.text, None, passage))
    elif words.last_lines is not None:
        found.append(_exhibit(rank, "last lines", words.last_lines.text, None, words.last_lines))
    if rank.error_file:
        found.append(_exhibit(rank, "torch's error file", rank.error_file))
    if suspect.role == SILENT and rank.stopped_by:
        found.append(_exhibit(rank, "asked to end", rank.stopped_by, rank.stopped_ns))
    return found


def _consequence(suspect: Suspect) -> Exhibit:
    words = suspect.rank.words
    passage = words.traceback.passage if words.traceback else words.found[-1][1] if words.found else words.last_lines
    return _exhibit(suspect.rank, "consequence", suspect.why, suspect.at_ns, passage)


def _how(rank: RankFacts) -> str:
    if rank.status == "Started":
        return "has not ended"
    if rank.signal is not None:
        return f"killed by {signal_name(rank.signal)}"
    return f"exit code {rank.exit_code}" if rank.exit_code is not None else rank.cause or "its exit code is not known"


def _order(run: RunFacts) -> list[End]:
    ended = [rank for rank in run.ranks if rank.status != "Started"]
    found = [_end(rank) for rank in ended]
    return sorted(found, key=lambda end: (end.at_ns is None, end.at_ns or 0, end.rank))[:MOST_ENDS]


def _end(rank: RankFacts) -> End:
    at_ns, noticed_ns = rank.ended_ns, EXIT_NOTICED_NS
    if rank.exception_ns is not None:
        at_ns, noticed_ns = rank.exception_ns, EXCEPTION_NOTED_NS
    return End(
        rank=rank.rank,
        node=rank.node_ip,
        at_ns=at_ns,
        error_ns=None if rank.clock_error_ns is None else rank.clock_error_ns + noticed_ns,
        exit_code=rank.exit_code,
        signal=rank.signal,
        exception=exception_of(rank)[0],
    )
