"""The end of `runyard show`: which process failed first, why, and where that stands. Pure; runyard/reader.py asks."""

from __future__ import annotations

import shlex

from runyard.reader import Document

from .terminal import clean, moment, table

ORDER_HEAD = ("RANK", "NODE", "AT", "RIGHT TO", "HOW", "EXCEPTION")
# Of a text that stands in a log, the last so many lines are shown here; the place of all is told.
MOST_LINES = 12


def lines(run_id: str, verdict: Document) -> list[str]:
    """The verdict for a person."""
    told = ["", f"Verdict: {clean(verdict['sentence'])} (confidence: {verdict['confidence']})"]
    for exhibit in verdict["evidence"]:
        told += _exhibit(run_id, exhibit)
    order = verdict["order"]
    if len(order) > 1:
        told += ["", f"Order of the ends ({len(order)})", *table(ORDER_HEAD, [_end(end) for end in order]).split("\n")]
    return told


def _exhibit(run_id: str, exhibit: Document) -> list[str]:
    who = f"rank {exhibit['rank']}" if exhibit["rank"] is not None else exhibit["node"]
    text = [clean(line) for line in exhibit["text"].splitlines()[-MOST_LINES:]]
    at = f" at {moment(exhibit['wall_ns'], milliseconds=True)}" if exhibit["wall_ns"] is not None else ""
    head = f"  {who}, {clean(exhibit['what'])}{at}:"
    told = [f"{head} {text[0]}"] if len(text) == 1 else [head, *(f"      {line}" for line in text)]
    log, start, end = exhibit["log"], exhibit["start"], exhibit["end"]
    if log and start is not None and end is not None and end > start:
        shown = shlex.join(["runyard", "logs", run_id, "--file", log, "--raw"])
        told.append(f"    {clean(log)}, bytes {start} to {end}: {shown} | tail -c +{start + 1} | head -c {end - start}")
    return told


def _end(end: Document) -> tuple[str, ...]:
    how = f"signal {end['signal']}" if end["signal"] is not None else "-" if end["exit_code"] is None else str(end["exit_code"])
    error = "-" if end["error_ns"] is None else f"{max(1, round(end['error_ns'] / 1e6))} ms"
    exception = " ".join(clean(end["exception"]).split())[:80]
    return str(end["rank"]), end["node"], moment(end["at_ns"], milliseconds=True), error, how, exception or "-"
