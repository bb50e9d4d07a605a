"""What one process's end means by itself: a reason of its own, a consequence of another's, or none. Pure."""

from __future__ import annotations

import re
import signal as signals
from dataclasses import dataclass, field

from . import signatures
from .facts import RankFacts, RunFacts
from .signatures import CASCADE, ROOT, WAITING, Signature

# Roles beside those of the signatures: it was ended from outside or goes on; it ended well.
SILENT = "silent"
DONE = "done"

# How much an end speaks for itself: nothing else can have brought it about; nothing known has; there is hardly a word.
STRONG, FAIR, WEAK = 3, 2, 1

# An exit is noticed within this; an exception notes its own time.
EXIT_NOTICED_NS = 100_000_000
EXCEPTION_NOTED_NS = 1_000_000
# Of a node whose clock was not compared with the collector's.
UNKNOWN_CLOCK_NS = 10 * 10**9

_CRASHES = ("SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGSYS", "SIGTRAP")
_HARD = ("oom", "never-started")


@dataclass(frozen=True, slots=True)
class Suspect:
    """A process with its part. `why` ends the sentence "rank 3 …"; equal `same` mean the same failure."""

    rank: RankFacts
    role: str
    kind: str = ""
    why: str = ""
    strength: int = FAIR
    at_ns: int | None = None
    noticed_ns: int = 0
    signature: Signature | None = None
    is_vague: bool = field(default=False)  # the place is known, the cause hardly
    same: str = ""

    @property
    def clock_ns(self) -> int:
        """What the clock of its node may be off by."""
        return UNKNOWN_CLOCK_NS if self.rank.clock_error_ns is None else self.rank.clock_error_ns


def look(facts: RankFacts, run: RunFacts) -> Suspect:
    """What the process's end means."""
    found = _said(facts) if run.is_interactive and _is_said(facts) else _look(facts)
    at_ns, noticed_ns = facts.ended_ns, EXIT_NOTICED_NS
    if facts.exception_ns is not None and found.role not in (SILENT, DONE):
        at_ns, noticed_ns = facts.exception_ns, EXCEPTION_NOTED_NS
    role = ROOT if run.is_alone and found.role in (CASCADE, WAITING) else found.role
    parts = {name: getattr(found, name) for name in ("kind", "why", "strength", "signature", "is_vague")}
    # Processes that fail by the same program's mistake differ in numbers and addresses only.
    same = re.sub(r"0x[0-9a-f]+|\d+", "#", f"{found.kind} {found.why}")
    return Suspect(facts, role, at_ns=at_ns, noticed_ns=noticed_ns, same=same, **parts)


def _look(facts: RankFacts) -> Suspect:
    if facts.status == "Started":
        return Suspect(facts, SILENT, why="goes on")
    if facts.exit_code == 0:
        return Suspect(facts, DONE, why="ended with exit code 0")
    if facts.stopped_ns is not None and (facts.exception_ns is None or facts.exception_ns >= facts.stopped_ns):
        return Suspect(facts, SILENT, why=f"was ended: {facts.stopped_by}")
    number = facts.signal or _signal_of(facts.exit_code)
    if facts.oom and (number == signals.SIGKILL or _names_killed_worker(facts)):
        return Suspect(facts, ROOT, "oom", f"was killed for memory ({facts.oom})", STRONG)
    if facts.cause and (facts.exit_code is None or facts.exit_code in (126, 127)):
        return _never_started(facts)
    if number is not None and not facts.exception:
        return _by_signal(facts, number)
    return _by_exit(facts)


def _is_said(facts: RankFacts) -> bool:
    return bool(facts.status == "Failed" and facts.cause and facts.exit_code is None)


def _said(facts: RankFacts) -> Suspect:
    """Of the process of an interactive run: what it said of its run, or that it said nothing."""
    if "without saying" in facts.cause:
        why = f"was killed, or left without a word: {facts.cause}"
        return Suspect(facts, ROOT, "exit-code", why, WEAK, is_vague=True)
    found = signatures.find(facts.cause)
    says = found.says if found is not None else "said that its run has failed"
    return Suspect(facts, ROOT, "exception", f"{says}: {facts.cause}", STRONG, signature=found)


def _never_started(facts: RankFacts) -> Suspect:
    if "asked to stop" in facts.cause:
        return Suspect(facts, SILENT, why=facts.cause)
    if "exit code is lost" in facts.cause:
        return Suspect(facts, ROOT, "exit-code", f"ended, and {facts.cause}", WEAK, is_vague=True)
    return Suspect(facts, ROOT, "never-started", f"never started: {facts.cause}", STRONG)


def _signal_of(exit_code: int | None) -> int | None:
    """The signal of a program that a shell ran, which says it as 128+n."""
    if exit_code is None or not 128 < exit_code < 128 + signals.NSIG:
        return None
    return exit_code - 128


def _names_killed_worker(facts: RankFacts) -> bool:
    text = f"{facts.exception}\n{facts.words.traceback.passage.text if facts.words.traceback else ''}"
    found = signatures.find(text)
    return found is not None and found.id == "worker-killed"


def _by_signal(facts: RankFacts, number: int) -> Suspect:
    name = signal_name(number)
    said = next((one for one, _ in facts.words.found if one.kind != ROOT), None)
    if name == "SIGABRT" and said is not None:
        return Suspect(facts, said.kind, "signal", f"{said.says}, and gave up by {name}", FAIR, signature=said)
    if name == "SIGABRT" or name in _CRASHES:
        root = next((one for one, _ in facts.words.found if one.id != "segfault"), None)
        more = f": it {root.says}" if root else ""
        return Suspect(facts, ROOT, "signal", f"crashed by {name}{more}", STRONG, signature=root)
    if name == "SIGTERM" and said is not None:
        return Suspect(facts, said.kind, "signal", f"{said.says} ({name})", FAIR, signature=said)
    why = f"was killed by {name}, which neither the run nor the kernel's memory killer is known to have sent"
    return Suspect(facts, ROOT, "signal", why, STRONG if name == "SIGKILL" else FAIR, is_vague=True)


def _by_exit(facts: RankFacts) -> Suspect:
    last, first = exception_of(facts)
    how = f" (exit code {facts.exit_code})" if facts.exit_code not in (None, 1) else ""
    if last:
        found = signatures.find(first) or (signatures.find(last) if first == last else None)
        told = last if first == last else f"{last}, which began with {first}"
        kind = "exception"
        if found is None:
            return Suspect(facts, ROOT, kind, f"raised {told}{how}", FAIR)
        is_own = found.kind == ROOT
        return Suspect(facts, found.kind, kind, f"{found.says}: {told}{how}", STRONG if is_own else FAIR, signature=found)
    said = facts.words.found[0][0] if facts.words.found else None
    if said is not None:
        return Suspect(facts, said.kind, "exit-code", f"{said.says} (exit code {facts.exit_code})", FAIR, signature=said)
    return Suspect(facts, ROOT, "exit-code", f"ended with exit code {facts.exit_code}", FAIR)


def exception_of(facts: RankFacts) -> tuple[str, str]:
    """The exception that ended the process, and the one with which it began; ("", "") where none is known."""
    if facts.exception:
        return facts.exception, facts.exception_first or facts.exception
    if facts.words.traceback is not None:
        return facts.words.traceback.last, facts.words.traceback.first
    return facts.error_file, facts.error_file


def signal_name(number: int) -> str:
    """SIGSEGV for 11."""
    try:
        return signals.Signals(number).name
    except ValueError:
        return f"signal {number}"
