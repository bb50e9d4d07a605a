"""Waiting for a run's end, with its output as it comes.

Reads from GET runs/{run_id}, its files and what follows them; writes to stdout, or to the stream that was given as show_output.

Shown are the numbered logs, azureml-logs/NN….txt, of every node and attempt. Other than in Azure ML's SDK each of them is shown
from its first byte to its last, also one that lives for a moment, that grows beside others, or whose last line has no end; only
Completed, Failed and Canceled are ends; and a collector that is away for a while is waited for.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any

from runyard import names, reader
from runyard.client import CollectorClient
from runyard.errors import CollectorBusy, CollectorUnreachable, InputError, RunFailed
from runyard.follow import Data, End, Follower, Gap, Happening, Query, Superseded
from runyard.reader import FINAL_STATUSES, Document

from . import details, notebook_pace, on_its_way, saying, settling
from .sections import Sections
from .watching import Watch

if TYPE_CHECKING:
    from .run import Run

NUMBERED_LOG = re.compile(r"(.*/)?azureml-logs/(\d{2})[^/]*\.txt")
FIRST_LOOK_S = 0.1
LONGEST_LOOK_S = 2.0
TICK_S = 0.05
# Nothing has come for so long: how is the run?
QUIET_S = 2.0
# A run that has ended, and of which nothing comes any more, is not waited for longer: its node may be gone with the rest.
GIVE_UP_S = 60.0
MOST_EVIDENCE_LINES = 12


def wait_for_completion(
    run: Run, show_output: bool | IO[str] = False, wait_post_processing: bool = False, raise_on_error: bool = True
) -> dict[str, Any]:
    """Wait until the run has ended; with `wait_post_processing`, until the collector has all its files. Blocks.

    `show_output`: shows its output on stdout, or on this stream, to the last byte. Gives what get_details gives. Raises
    RunFailed where the run has failed, unless `raise_on_error` is False. Ctrl-C leaves the run alone.
    """
    if run._is_context:
        raise InputError(f"run {run.id} is the one that waits, and ends when it does; wait for its children, or from outside")
    stream = None if not show_output else sys.stdout if isinstance(show_output, bool) else show_output
    try:
        found = _Showing(run, stream).to_end() if stream else _ended(run, until_complete=wait_post_processing)
    except KeyboardInterrupt:
        again = f"Run.get(workspace, {run.id!r}).wait_for_completion(show_output=True)"
        print(f"\nLeft; run {run.id} goes on. To come back: {again}", file=stream or sys.stderr, flush=True)
        raise
    if not found["is_complete"]:  # whoever asks for metrics now is to get all of them
        settling.wait_until_all_applied(_connection(run), run.id, GIVE_UP_S)
    told = details.get_details(run)
    if found["status"] == details.FAILED and raise_on_error:
        decided = details.verdict(run._client, found)
        why = (decided or {}).get("sentence") or found["cause"] or "nothing is known of why"
        raise RunFailed(f"run {run.id} has failed: {why}", run_id=run.id, details=told, verdict=decided)
    return told


def _ended(run: Run, *, until_complete: bool) -> Document:
    """The run, when it has ended; it is asked for again and again."""
    look_s, ended_s = FIRST_LOOK_S, 0.0
    while True:
        found = _look(run)
        if found["status"] in FINAL_STATUSES:
            ended_s = ended_s or time.monotonic()
            if not until_complete or found["is_complete"] or time.monotonic() - ended_s > GIVE_UP_S:
                return found
        time.sleep(look_s)
        look_s = min(look_s * 1.5, LONGEST_LOOK_S)


def _look(run: Run) -> Document:
    """The run as it is; a collector that is away is waited for, and so is a run that is on its way there."""
    is_told = False
    while True:
        may_come = on_its_way.is_on_its_way(run.id)
        try:
            return details.document(run)
        except reader.NoSuchRun:
            if not may_come:
                raise
        except (CollectorUnreachable, CollectorBusy) as error:
            if not is_told:
                saying.say(f"{error}; trying again until it is back")
            is_told = True
        time.sleep(LONGEST_LOOK_S / 2)


class _Showing:
    """The output of one run on one stream."""

    def __init__(self, run: Run, stream: IO[str]) -> None:
        self._run = run
        self._write = _writer(stream)
        self._sections = Sections(self._write)
        self._url = details.get_portal_url(run)
        self._told = ""

    def to_end(self) -> Document:
        """Show it to its end; the run as it is then."""
        self._write(f"RunId: {self._run.id}\nWeb View: {self._url}\n\n")
        found = _look(self._run)
        if found["is_complete"]:
            self._show_past(found)
        else:
            self._show_live(found)
        self._sections.end()
        found = _look(self._run)
        self._summary(found)
        return found

    def _show_past(self, found: Document) -> None:
        """One file after the other."""
        if why := reader.removed(found):
            self._write(f"[{why}]\n")
        client = self._run._client
        paths = [file["path"] for file in reader.files(client, self._run.id) if not file.get("removed_ns")]
        for path in sorted(filter(_is_shown, paths), key=_in_order):
            for happening in Follower(client, self._run.id, Query(file=(path,), until="now"), tell=saying.say):
                self._take(happening)
            self._sections.end()

    def _show_live(self, found: Document) -> None:
        watch = Watch(_connection(self._run), self._run.id, saying.say)
        quiet_since_s = asked_s = time.monotonic()
        self._tell_waiting(found)
        try:
            while True:
                happening = watch.get(TICK_S if self._sections.is_waiting else QUIET_S)
                now_s = time.monotonic()
                if isinstance(happening, End):
                    return
                if happening is not None:
                    quiet_since_s = now_s
                    self._take(happening)
                self._sections.tick()
                if now_s - max(asked_s, quiet_since_s) >= QUIET_S:
                    asked_s = now_s
                    found = _look(self._run)
                    if self._is_over(found, now_s - quiet_since_s):
                        return
        finally:
            watch.close()

    def _is_over(self, found: Document, quiet_s: float) -> bool:
        self._tell_waiting(found)
        if found["status"] not in FINAL_STATUSES or quiet_s < GIVE_UP_S:
            return False
        self._sections.end()
        self._write(f"\n[run {self._run.id} is {found['status']}, and not all of its files have come]\n")
        return True

    def _tell_waiting(self, found: Document) -> None:
        """What a run waits for that has no node yet."""
        text = found["pending"] if found["status"] == "Queued" else ""
        if text and text != self._told and not self._sections.is_begun:
            self._told = text
            self._write(f"Queued: {text}\n\n")

    def _take(self, happening: Happening) -> None:
        if not isinstance(happening, Data | Gap | Superseded) or not _is_shown(happening.file.path):
            return
        path, key = happening.file.path, happening.file.stream
        match happening:
            case Data():
                self._sections.data(key, path, happening.data)
            case Gap():
                self._sections.note(key, path, f"{happening.length} bytes were dropped on the node")
            case Superseded():
                self._sections.note(key, path, "the file was replaced or cut; it goes on with what is in it now")

    def _summary(self, found: Document) -> None:
        self._write(
            f"\nExecution Summary\n{'=' * 17}\nRunId: {self._run.id}\nWeb View: {self._url}\nStatus: {found['status']}\n"
        )
        for warning in found.get("warnings") or ():
            self._write(f"Warning: {warning if isinstance(warning, str) else warning['text']}\n")
        if found["status"] == details.FAILED:
            self._write("\n" + "\n".join(_verdict_lines(self._run._client, found)) + "\n")
        elif found["cause"] and found["status"] != "Completed":
            self._write(f"Cause: {found['cause']}\n")


def _verdict_lines(client: CollectorClient, found: Document) -> list[str]:
    decided = details.verdict(client, found)
    if decided is None:
        return [f"Error: {found['cause'] or 'nothing is known of why it has failed'}"]
    told = [f"Verdict: {decided['sentence']} (confidence: {decided['confidence']})"]
    for exhibit in decided["evidence"]:
        who = f"rank {exhibit['rank']}" if exhibit["rank"] is not None else exhibit["node"]
        told.append(f"  {who}, {exhibit['what']}:")
        told += [f"      {line}" for line in exhibit["text"].splitlines()[-MOST_EVIDENCE_LINES:]]
    return told


def _is_shown(path: str) -> bool:
    earlier = names.split_superseded(path)
    return NUMBERED_LOG.fullmatch(earlier[0] if earlier else path) is not None


def _in_order(path: str) -> tuple[str, str, int]:
    """As a run goes through its phases; an earlier generation of a file before the later one."""
    name, generation = names.split_superseded(path) or (path, sys.maxsize)
    match = NUMBERED_LOG.fullmatch(name)
    return match[2] if match else "", name, generation


def _connection(run: Run) -> Any:
    run._client  # noqa: B018 - raises where there is none
    return run._connection


def _writer(stream: IO[str]) -> Callable[[str], None]:
    """Writes text at once, to a notebook as fast as that takes it; what the stream's encoding does not know becomes a question
    mark."""
    if notebook_pace.is_notebook(stream):
        return notebook_pace.paced(stream.write)
    encoding = getattr(stream, "encoding", None) or "utf-8"

    def write(text: str) -> None:
        try:
            stream.write(text)
        except UnicodeEncodeError:
            stream.write(text.encode(encoding, "replace").decode(encoding))
        stream.flush()

    return write
