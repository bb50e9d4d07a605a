"""Runs and their files, read from the collector's API.

Reads from GET /runs, /runs/{run_id} with its files and verdict, and /experiments, through a CollectorClient; writes nothing.
Answers are the API's own JSON (docs/http-api.md). Standard library only.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from .client import CollectorClient, path_segment
from .errors import CollectorRefused, InputError

PAGE_SIZE = 1000
FINAL_STATUSES = ("Completed", "Failed", "Canceled")

Document = dict[str, Any]


class NoSuchRun(InputError):  # noqa: N818 - the name tells the state, as its neighbours in runyard.errors do
    """A run id that the collector does not know."""


def runs(client: CollectorClient, query: Mapping[str, object], limit: int | None = None) -> Iterator[Document]:
    """The runs that `query` (the parameters of GET /runs) asks for, newest first, at most `limit`. Blocks for each page."""
    page_size = PAGE_SIZE if limit is None else max(1, min(limit, PAGE_SIZE))
    return islice(_pages(client, "/runs", "runs", {**query, "page_size": page_size}), limit)


def run(client: CollectorClient, run_id: str) -> Document:
    """One run with its nodes and processes; NoSuchRun, naming the nearest id there is, where the collector does not know it."""
    try:
        document: Document = client.json("GET", run_path(run_id))
    except CollectorRefused as error:
        if error.status != 404:
            raise
        raise NoSuchRun(f"there is no run {run_id!r} at {client.url}{_hint(client, run_id)}") from error
    return document


def experiments(client: CollectorClient) -> Iterator[Document]:
    """The experiments, in the order in which they were made. Blocks for each page."""
    return _pages(client, "/experiments", "experiments", {"page_size": PAGE_SIZE})


def files(client: CollectorClient, run_id: str, *, prefix: str | None = None, node: str | None = None) -> Iterator[Document]:
    """The run's files, sorted by path. Blocks for each page."""
    query = {"prefix": prefix, "node": node, "page_size": PAGE_SIZE}
    return _pages(client, f"{run_path(run_id)}/files", "files", query)


def artifacts(client: CollectorClient, run_id: str) -> Iterator[Document]:
    """All that a person may have of the run's files: uploaded or shipped, sorted by path. Blocks for each page."""
    return _pages(client, f"{run_path(run_id)}/artifacts", "files", {"recursive": 1, "page_size": PAGE_SIZE})


def removed(found: Document) -> str:
    """Since when and why the run's files are gone, as a sentence; empty where they are there."""
    if not found.get("removed_ns"):
        return ""
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(found["removed_ns"] // 10**9))
    return f"the files of run {found['run_id']} were removed at {when}: {found['removed_why']}"


def verdict(client: CollectorClient, found: Document) -> Document | None:
    """The verdict on the run `found`; None where nothing in it has failed, or where the collector gives none."""
    has_failed = found["status"] in ("Failed", "NotResponding") or any(one["status"] == "Failed" for one in found["processes"])
    if not has_failed:
        return None
    try:
        decided: Document = client.json("GET", f"{run_path(found['run_id'])}/verdict")
    except CollectorRefused as error:
        if error.status != 404:  # a collector of an earlier version
            raise
        return None
    return decided if decided["is_decided"] else None


def run_path(run_id: str) -> str:
    """The run's path below the API's root."""
    return f"/runs/{path_segment(run_id)}"


def nearest(word: str, known: list[str]) -> str:
    """The known word that is meant by a mistyped one, or ""."""
    import difflib  # only where there is a mistake

    return next(iter(difflib.get_close_matches(word, known, 1, 0.5)), "")


def _hint(client: CollectorClient, run_id: str) -> str:
    try:
        close = nearest(run_id, [str(found["run_id"]) for found in runs(client, {}, PAGE_SIZE)])
    except CollectorRefused:  # a run's token lists no runs
        return ""
    return f"; did you mean {close!r}?" if close else "; `runyard ps` lists the runs"


def _pages(client: CollectorClient, path: str, member: str, query: Mapping[str, object]) -> Iterator[Document]:
    token: str | None = None
    while True:
        page = client.json("GET", path, params={**query, "page_token": token})
        yield from page[member]
        token = page.get("next_page_token")
        if not token:
            return
