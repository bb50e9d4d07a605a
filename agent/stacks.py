"""Takes the Python stacks of a rank's processes, whatever they hang in: by py-spy where there is one, or else by a signal.

Reads from /proc, from py-spy, and from .runyard/proc/<rank>/stacks.raw, into which the processes write that
excepthook/runyard_stacks_hook.py has made ready; writes signals to those alone. The training is not stopped by either.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from runyard import names
from runyard.stacktext import RankStacks, Stacked, Thread

from . import proctree
from .stack_request import RAW_FILE, SIGNAL

# Of one rank; one that has more has no end of workers.
MOST_PROCESSES = 64
MOST_FRAMES = 200
MOST_THREADS = 200
PYSPY_LIMIT_S = 5.0
# How long a process has for its answer to the signal, and how long its file is still when it is whole.
ANSWER_LIMIT_S = 2.0
STILL_S = 0.05
# Of all processes of one rank together.
RANK_LIMIT_S = 20.0

_THREAD = re.compile(r"(?:Current thread|Thread) 0x[0-9a-f]+(?: \[(.*)\])? .*\(most recent call first\):")
_FRAME = re.compile(r'  File "(.*)", line (\d+|\?\?\?) in (.*)')
_SCRIPT = re.compile(r"[^ =]+\.py")


def take(run_dir: str, run: dict[str, Any], rank: int, pid: int) -> tuple[Stacked, ...]:
    """The stacks of the driver `pid` and of all that it has started, it first. Blocks, hardly longer than RANK_LIMIT_S."""
    directory = Path(run_dir, names.process_dir(rank))
    tree = [pid, *proctree.descendants(pid)]
    tree += [one for one in proctree.with_environment(proctree.marker(run), f"RUNYARD_RANK={rank}") if one not in tree]
    pyspy = _pyspy(pid)
    deadline_s = time.monotonic() + RANK_LIMIT_S
    found = []
    for one in tree[:MOST_PROCESSES]:
        if time.monotonic() > deadline_s:
            found.append(Stacked(one, _title(one), "no time was left for it"))
        else:
            found.append(_of_process(one, pyspy, directory))
    return tuple(found)


def _of_process(pid: int, pyspy: str, directory: Path) -> Stacked:
    title = _title(pid)
    if not _is_python(pid):
        return Stacked(pid, title, "it is no Python program")
    threads = _by_pyspy(pyspy, pid) if pyspy else ()
    if threads:
        return Stacked(pid, title, "py-spy", threads)
    threads = _by_signal(pid, directory)
    if threads:
        return Stacked(pid, title, "faulthandler", threads)
    return Stacked(pid, title, "py-spy could not read it" if pyspy else "it does not answer, and there is no py-spy")


def _title(pid: int) -> str:
    """The program and its script: arguments may hold secrets."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return "gone"
    scripts = [word for word in words[1:] if _SCRIPT.fullmatch(word)][:1]
    return " ".join(os.path.basename(word) for word in [words[0] or "?", *scripts])  # noqa: PTH119 - bare words


def _is_python(pid: int) -> bool:
    try:
        if "python" in os.readlink(f"/proc/{pid}/exe"):  # noqa: PTH115 - a link that leads nowhere on this disk
            return True
        return b"libpython" in Path(f"/proc/{pid}/maps").read_bytes()
    except OSError:
        return False


def _pyspy(pid: int) -> str:
    """The py-spy that the driver would find, or else ours; empty where there is none."""
    with suppress(OSError):
        for entry in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            if entry.startswith(b"PATH="):
                found = shutil.which("py-spy", path=os.fsdecode(entry[5:]))
                if found:
                    return found
    return shutil.which("py-spy") or ""


def _by_pyspy(pyspy: str, pid: int) -> tuple[Thread, ...]:
    # Not blocking: what is killed while it holds a process up would leave that one stopped.
    argv = [pyspy, "dump", "--nonblocking", "--json", "--full-filenames", "--pid", str(pid)]
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=PYSPY_LIMIT_S, check=False)
        told = json.loads(done.stdout)
        threads = [(_pyspy_thread(one), one["os_thread_id"] == pid) for one in told[:MOST_THREADS]]
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError, AttributeError):
        return ()
    return tuple(thread for thread, _ in sorted(threads, key=lambda pair: not pair[1]) if thread.frames)


def _pyspy_thread(one: dict[str, Any]) -> Thread:
    frames = [
        _frame(frame["name"].rpartition(".")[2], frame["filename"], frame["line"]) for frame in one["frames"][:MOST_FRAMES]
    ]
    return Thread(str(one["thread_name"] or "?"), tuple(frames))


def _frame(function: str, file: str, line: object) -> str:
    return f"{function} ({file}:{line})"


def _by_signal(pid: int, directory: Path) -> tuple[Thread, ...]:
    """Ask the process by the signal, if it is ready to be asked."""
    raw = directory / RAW_FILE
    if not _is_ready(pid, raw):
        return ()
    try:
        os.truncate(raw, 0)  # who writes there appends
        os.kill(pid, SIGNAL)
        text = _answer(raw)
    except OSError:
        return ()
    return faulthandler_threads(text)


def _is_ready(pid: int, raw: Path) -> bool:
    """Whether the process has caught the signal and holds our file where its hook has put it, as a fork of such a one does.

    What it has become by exec has neither, and a signal that nobody catches would end it.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text(errors="replace")
        caught = re.search(r"^SigCgt:\s*([0-9a-f]+)$", status, re.MULTILINE)
        state = re.search(r"^State:\s*(\w)", status, re.MULTILINE)
        if caught is None or not int(caught[1], 16) >> (SIGNAL - 1) & 1 or state is None or state[1] in "TtZX":
            return False
        held = {int(note.suffix[1:]) for note in raw.parent.glob("stackable.*")}
        return any(_is_file(Path(f"/proc/{pid}/fd/{number}"), raw) for number in held)
    except (OSError, ValueError):
        return False


def _is_file(link: Path, file: Path) -> bool:
    with suppress(OSError):
        return link.samefile(file)
    return False


def _answer(raw: Path) -> str:
    begun_s = moved_s = time.monotonic()
    size = 0
    while (now_s := time.monotonic()) < begun_s + ANSWER_LIMIT_S:
        grown = raw.stat().st_size
        if grown != size:
            size, moved_s = grown, now_s
        elif size and now_s - moved_s > STILL_S:
            break
        time.sleep(0.01)
    return raw.read_text(errors="replace")


def faulthandler_threads(text: str) -> tuple[Thread, ...]:
    """The threads that faulthandler has written, the main one first: it writes that one last. Pure."""
    threads: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        head, frame = _THREAD.match(line), _FRAME.match(line)
        if head:
            threads.append((head[1] or "", []))
        elif frame and threads and len(threads[-1][1]) < MOST_FRAMES:
            threads[-1][1].append(_frame(frame[3], frame[1], frame[2]))
    threads.reverse()
    return tuple(_named(threads[:MOST_THREADS]))


def _named(threads: list[tuple[str, list[str]]]) -> Iterable[Thread]:
    for number, (name, frames) in enumerate(threads):
        if frames:
            yield Thread(name or ("MainThread" if number == 0 else f"Thread-{number}"), tuple(frames))


def write(run_dir: str, stacks: RankStacks) -> str:
    """Put one rank's stacks where they are shipped from, whole; their name. Raises OSError."""
    from runyard.stacktext import file_name, text_of

    name = file_name(stacks.node_id, stacks.taken, stacks.rank)
    target, half = Path(run_dir, name), Path(run_dir, names.PRIVATE_DIR, f"stacks-{stacks.rank}.tmp")
    target.parent.mkdir(mode=names.DIR_MODE, parents=True, exist_ok=True)
    half.write_text(text_of(stacks))
    half.chmod(names.FILE_MODE)
    half.rename(target)
    return name
