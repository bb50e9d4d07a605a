"""What a venv is built from, as one hash: the requirements, the interpreter, and the local files that the requirements name.

Reads those files; runs the interpreter once.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from runyard.errors import PhaseError
from runyard.spec import Environment

from . import tool

# A larger file (a wheel of some hundred megabytes) is told by its size and time: to read it would take longer than it saves.
WHOLE_BYTES = 16 << 20
# So many files of a folder count.
MOST_FILES = 5000

_ASK = (
    "import json, platform, sys, sysconfig; print(json.dumps([platform.python_version(), platform.python_implementation(), "
    "sysconfig.get_platform(), sysconfig.get_config_var('SOABI'), sys.base_prefix]))"
)
_ARCHIVES = (".whl", ".zip", ".tar.gz")
_PROJECT_FILES = ("pyproject.toml", "setup.py", "setup.cfg")
# What building a project leaves in its folder: it must not make the next run's hash another one.
_BUILD_OUTPUT = re.compile(r"\..*|__pycache__|build|dist|.*\.egg-info")


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python, and what tells it from others: version, implementation, platform, ABI, where it lies."""

    path: str
    identity: tuple[str, ...]

    @property
    def version(self) -> str:
        """Such as 3.11.2."""
        return self.identity[0]


def interpreter(wanted: str) -> Interpreter:
    """The Python that `wanted` names by path or name; the agent's own where it is empty. Raises PhaseError."""
    path = shutil.which(wanted) if wanted else sys.executable
    if not path:
        raise PhaseError(f"environment.python: {wanted} is not on this node; name a Python by its path, or one on the PATH")
    try:
        answer = tool.ask([path, "-I", "-c", _ASK])
    except OSError as error:
        raise PhaseError(f"environment.python: {path} cannot be started: {error.strerror}") from error
    try:
        return Interpreter(path, tuple(map(str, json.loads(answer.stdout))))
    except ValueError:
        raise PhaseError(f"environment.python: {path} is no Python 3 (exit code {answer.code})") from None


def of(environment: Environment, python: Interpreter) -> str:
    """The hash, 64 hex digits."""
    digest = hashlib.sha256(json.dumps([environment.requirements, environment.constraints, python.identity]).encode())
    for line in environment.requirements.splitlines():
        is_editable = line.lstrip().startswith(("-e", "--editable"))
        for path in _local_paths(line, Path(environment.requirements_dir or "/")):
            for file, size_bytes, mark in _contents(path, is_editable):
                digest.update(f"{os.path.relpath(file, path)}\0{size_bytes}\0{mark}\0".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _local_paths(line: str, folder: Path) -> Iterator[Path]:
    """Files and folders that a line names: `./wheels`, `../lib[extra]`, `name @ file:///a/b.whl`, `x-1-py3-none-any.whl`."""
    for word in re.split(r"[\s=]+", line.partition(" #")[0]):
        name = re.sub(r"\[[^]]*\]$", "", word.partition("#")[0]).removeprefix("file://")
        if "://" in name or not (name.startswith(".") or "/" in name or name.endswith(_ARCHIVES)):
            continue
        path = folder / name
        if os.path.exists(path):  # noqa: PTH110 - no error for a name that is too long
            yield path


def _contents(path: Path, is_editable: bool) -> Iterator[tuple[Path, int, str]]:
    """Each file as (path, size in bytes, hash or time). An editable project's code is read where it lies: it does not count."""
    if path.is_file():
        files: list[Path] = [path]
    elif is_editable:
        files = [path / name for name in _PROJECT_FILES if (path / name).is_file()]
    else:
        files = _files_below(path)
    for file in files:
        state = file.stat()
        is_whole = state.st_size <= WHOLE_BYTES
        yield file, state.st_size, hashlib.sha256(file.read_bytes()).hexdigest() if is_whole else str(state.st_mtime_ns)


def _files_below(folder: Path) -> list[Path]:
    found: list[Path] = []
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not _BUILD_OUTPUT.fullmatch(name))
        found += [Path(parent) / name for name in sorted(files) if (Path(parent) / name).is_file()]
        if len(found) > MOST_FILES:
            return found[:MOST_FILES]
    return found
