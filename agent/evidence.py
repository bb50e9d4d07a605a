"""What is known of a driver's end beside its exit code: for the verdict on a run that failed.

Puts an excepthook and torch's error file into the driver's environment; when a driver has failed, reads what they left in
.runyard/proc/<rank>/, its control group's count of kills for memory, the kernel's log and stop.json, and writes evidence.json
beside them. What survives a crash: nothing that counts; a verdict goes without. Standard library only.
"""

from __future__ import annotations

import os
import time

from runyard.atomic import read_json, write_json

TYPE_CHECKING = False  # importing typing would cost the start of every run 5 ms
if TYPE_CHECKING:
    from typing import Any

    from .oom import MemoryWatch

EVIDENCE_FILE = "evidence.json"
EXCEPTIONS_FILE = "exceptions.jsonl"
TORCH_ERROR_FILE = "torch_error.json"

_HOOK_DIR = os.path.join(os.path.dirname(os.path.abspath(__file__)), "excepthook")
# Texts are cut here: the collector takes no longer ones.
_MOST_CHARACTERS = 3000
# Of the notes of a program that fails over and over.
_MOST_NOTES_BYTES = 1 << 20
# Says of another process's failure, which is the one that counts.
_ABOUT_CHILDREN = ("ChildFailedError", "CalledProcessError", "ProcessRaisedException", "ProcessExitedException")


def prepare(launch: dict[str, Any], directory: str, run: dict[str, Any]) -> None:
    """Change `launch`, in place, so that the driver notes the exception that ends it in `directory`.

    Not in a container: a PYTHONPATH of ours would put the image's own out of force.
    """
    if "container" in launch:
        return
    env = launch["env"]
    if run.get("excepthook", True):
        env["RUNYARD_EXCEPTION_FILE"] = os.path.join(directory, EXCEPTIONS_FILE)
        env["PYTHONPATH"] = _HOOK_DIR + (os.pathsep + env["PYTHONPATH"] if env.get("PYTHONPATH") else "")
    if (run.get("distribution") or {}).get("kind") == "pytorch" and not env.get("TORCHELASTIC_ERROR_FILE"):
        env["TORCHELASTIC_ERROR_FILE"] = os.path.join(directory, TORCH_ERROR_FILE)


def write(directory: str, run_dir: str, memory: MemoryWatch | None) -> None:
    """Write evidence.json for a driver that is gone, unless it ended well. Raises OSError."""
    exit_ = read_json(os.path.join(directory, "exit.json")) or {}
    if exit_.get("exit_code") == 0:
        return
    found = collect(directory, run_dir, exit_, memory)
    if found:
        write_json(os.path.join(directory, EVIDENCE_FILE), found, durable=False)


def collect(directory: str, run_dir: str, exit_: dict[str, Any], memory: MemoryWatch | None) -> dict[str, Any]:
    """What collector/report.py calls Evidence, without the members of which nothing is known."""
    started = read_json(os.path.join(directory, "started.json")) or {}
    pid = started.get("pid") or 0
    found: dict[str, Any] = {"cause": exit_.get("cause") or ""}
    found |= _exception(_notes(os.path.join(directory, EXCEPTIONS_FILE)), pid)
    found["error_file"] = torch_error(os.path.join(directory, TORCH_ERROR_FILE))
    if "used up its memory" in found["cause"]:  # podman's word
        found["oom"] = found["cause"]
    elif memory is not None:
        is_kill = exit_.get("signal") == 9 or exit_.get("exit_code") == 137
        found["oom"] = memory.why(is_kill=is_kill, since_mono_ns=started.get("mono_ns") or 0)
    found |= _stopped(run_dir, exit_)
    return {name: _tellable(value) if isinstance(value, str) else value for name, value in found.items() if value}


def _tellable(text: str) -> str:
    """What the collector takes: no NUL, no half character, and not too long."""
    return text.replace("\0", "").encode(errors="replace").decode()[:_MOST_CHARACTERS]


def _stopped(run_dir: str, exit_: dict[str, Any]) -> dict[str, Any]:
    """Who had asked the process to end before it did, and when."""
    from .stop import read_stop

    stop = read_stop(run_dir)
    if stop is None or stop["asked_mono_ns"] > exit_.get("mono_ns", time.monotonic_ns()):
        return {}
    return {"stopped_by": stop["reason"], "stopped_mono_ns": stop["asked_mono_ns"]}


def _notes(path: str) -> list[dict[str, Any]]:
    """What the excepthook has written; a line that is torn is passed over."""
    import json

    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _MOST_NOTES_BYTES))
            lines = file.read().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        try:
            note = json.loads(line)
            note["text"] = note["type"] + (": " + note["message"] if note["message"] else "")
            found.append(note)
        except (ValueError, TypeError, KeyError):
            continue
    return found


def _exception(notes: list[dict[str, Any]], pid: int) -> dict[str, Any]:
    """Of all that was noted, what ended the driver: its own last exception, or that of a child that it tells of."""
    note = _decisive(notes, pid)
    if note is None:
        return {}
    words = " ".join(note["text"].split())
    return {
        "exception": ("in a thread: " if note.get("is_thread") else "") + words,
        "exception_first": " ".join(str(note.get("first") or "").split()),
        "exception_mono_ns": note.get("mono_ns"),
    }


def _decisive(notes: list[dict[str, Any]], pid: int) -> dict[str, Any] | None:
    fatal = [note for note in notes if not note.get("is_thread")]
    own = [note for note in fatal if note.get("pid") == pid]
    others = [note for note in fatal if note.get("pid") != pid]
    if own and others and own[-1]["type"].rpartition(".")[2] in _ABOUT_CHILDREN:
        return others[0]
    return (own or others or notes or [None])[-1]  # type: ignore[list-item]


def torch_error(path: str) -> str:
    """The message in the file that torch leaves when a process of its own has failed; "" where there is none."""
    import json

    try:
        with open(path, "rb") as file:
            value = json.loads(file.read(_MOST_NOTES_BYTES))
    except (OSError, ValueError):
        return ""
    message = value.get("message") if isinstance(value, dict) else None
    if isinstance(message, dict):
        message = message.get("message")
    return " ".join(message.split()) if isinstance(message, str) else ""
