"""A run in a few lines of HTML or text, for who opens a notebook without its kernel, or where no widgets are. Pure."""

from __future__ import annotations

import time
from collections.abc import Iterator
from html import escape
from typing import Any

from runyard.reader import Document

MOST_METRICS = 12
_CELL = "padding:2px 12px 2px 0;text-align:left"


def as_text(run_id: str, url: str, parts: Document) -> str:
    """One line a fact."""
    return "\n".join(f"{name}: {value}" for name, value in _facts(run_id, parts)) + f"\nStudio: {url}"


def as_html(run_id: str, url: str, parts: Document, *, css_class: str) -> str:
    """A table. Everything that comes from the run is escaped."""
    rows = "".join(
        f'<tr><th style="{_CELL}">{escape(name)}</th><td style="{_CELL}">{escape(value)}</td></tr>'
        for name, value in _facts(run_id, parts)
    )
    link = f'<a href="{escape(url)}" target="_blank" rel="noopener noreferrer">Open in Studio</a>'
    return f'<div class="{escape(css_class)}"><table>{rows}</table><p>{link}</p></div>'


def _facts(run_id: str, parts: Document) -> Iterator[tuple[str, str]]:
    yield "Run", run_id
    run = parts.get("run") or {}
    if not run:
        return
    if run["name"]:
        yield "Name", run["name"]
    yield "Experiment", f"{run['experiment']} #{run['number']}"
    yield "Status", _status(run)
    if run["started_ns"]:
        yield "Duration", _span((run["ended_ns"] or time.time_ns()) - run["started_ns"])
    why = (parts.get("verdict") or {}).get("sentence") or run["cause"]
    if why:
        yield "Why", why
    trials = parts.get("trials") or {}
    if trials.get("trials"):
        yield "Children", str(len(trials["trials"]))
        if trials["best_run_id"]:
            yield "Best child", f"{trials['best_run_id']} ({trials['goal']['metric']} {_number(trials['best_value'])})"
    for metric in (parts.get("metrics") or [])[:MOST_METRICS]:
        yield f"{metric['name']}, last", _number(metric["last"])


def _status(run: Document) -> str:
    if run["ended_ns"]:
        return str(run["status"])
    return f"{run['status']} at {time.strftime('%Y-%m-%d %H:%M:%S %Z')}"


def _number(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _span(span_ns: int) -> str:
    seconds = max(0, span_ns // 10**9)
    hours, rest = divmod(seconds, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}"
