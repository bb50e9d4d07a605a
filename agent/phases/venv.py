"""A run's venv: built from its requirements once, with uv where it is installed and with pip otherwise, and kept in the cache.

Writes <cache_dir>/venvs/<key>: the venv, and `complete.json` last. One without it was left by a build that was killed, and is
begun anew. Moving a venv would break it, so it is built where it stays; a lock beside it keeps other runs out meanwhile.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from runyard import names
from runyard.atomic import write_json
from runyard.errors import PhaseError

from . import cache_lock, tool, venv_key
from .disk_room import shortage
from .phase import Phase
from .venv_key import Interpreter
from .words import since, telling

MARK = "complete.json"
REQUIREMENTS = "requirements.txt"
CONSTRAINTS = "constraints.txt"
# They would make pip install somewhere else, or find modules that the venv does not have; COLUMNS would make uv break the line
# that tells why it failed.
_MISLEADING = (
    *("PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "PIP_PREFIX", "PIP_ROOT", "PIP_TARGET", "PIP_USER", "UV_TARGET"),
    "COLUMNS",
)


def run(phase: Phase) -> dict[str, Any]:
    """Have the venv; what image.run returns."""
    python = venv_key.interpreter(phase.spec.environment.python)
    key = venv_key.of(phase.spec.environment, python)
    folder = phase.cache_dir / "venvs" / key
    is_built = False
    while not _is_taken(folder):
        with cache_lock.held(_lock_of(folder), lambda: phase.say(f"Another run builds the venv {key}; waiting for it.")):
            if not _is_complete(folder):
                _build(phase, folder, python, key)
                is_built = True
    if not is_built:
        phase.say(f"The cached environment is used: the venv {key} in {folder}.")
    return {"env": {"VIRTUAL_ENV": str(folder)}, "path": str(folder / "bin"), "is_built": is_built, "key": key}


def _lock_of(folder: Path) -> Path:
    return folder.with_suffix(".lock")


def _is_taken(folder: Path) -> bool:
    """Whether it is complete, and marked as used now: under its lock, without which nobody removes what is not used."""
    if not _is_complete(folder):
        return False
    with cache_lock.held(_lock_of(folder), lambda: None):
        if is_complete := _is_complete(folder):
            with suppress(OSError):  # another user's
                os.utime(folder / MARK)
        return is_complete


def _is_complete(folder: Path) -> bool:
    return (folder / MARK).exists() and (folder / "bin/python").exists()  # a link, and its Python may have been removed


def _build(phase: Phase, folder: Path, python: Interpreter, key: str) -> None:
    before = phase.log
    phase.say(f"The venv {key} is built in {folder}; see {names.IMAGE_LOG}.")
    phase.log_to(names.IMAGE_LOG)
    installer = _Installer(phase, folder, python)
    phase.say(f"Building a venv with {installer.program} and Python {python.version} ({python.path}) in {folder}.")
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=names.DIR_MODE, parents=True)
        installer.create()
        installer.install()
        versions = installer.versions()
        tool.run(["sync", "--file-system", str(folder)])  # or a power cut may leave the mark, and files without their content
        write_json(str(folder / MARK), {"key": key, "python": python.path, "versions": versions})
    except BaseException:  # also a cancel: half a venv is of no use, and the disk may be full of it
        shutil.rmtree(folder, ignore_errors=True)
        raise
    phase.say("The venv is built. Resolved versions:")
    for version in versions:
        phase.say(f"  {version}")
    phase.say(f"cache key: {key}")
    phase.log_to(before)


class _Installer:
    """uv or pip, for one venv."""

    def __init__(self, phase: Phase, folder: Path, python: Interpreter) -> None:
        self._phase = phase
        self._folder = folder
        self._python = python
        self._uv = shutil.which("uv") or ""
        self._environ = {name: value for name, value in os.environ.items() if name not in _MISLEADING}
        self._cwd = phase.spec.environment.requirements_dir or str(folder)

    @property
    def program(self) -> str:
        """What installs."""
        return "uv" if self._uv else "pip"

    def create(self) -> None:
        """Make the venv, empty but for pip."""
        what = f"no venv can be made with {self._python.path}"
        if self._uv:
            self._run([self._uv, "venv", "--allow-existing", "--python", self._python.path, str(self._folder)], what)
            return
        self._run([self._python.path, "-I", "-m", "venv", "--without-pip", str(self._folder)], what)
        # As a tool of its own: within `venv` it would outlive a killed phase and write to the next build's folder.
        advice = "on Debian that takes the package python3-venv"
        self._run([self._inner, "-I", "-m", "ensurepip", "--upgrade", "--default-pip"], f"{what} and pip ({advice})")

    def install(self) -> None:
        """Install the requirements. Relative paths in them start at the folder of the requirements file."""
        environment = self._phase.spec.environment
        (self._folder / REQUIREMENTS).write_text(environment.requirements)
        (self._folder / CONSTRAINTS).write_text(environment.constraints)
        limits = ["--constraint", str(self._folder / CONSTRAINTS)] if environment.constraints else []
        what = "the requirements cannot be installed"
        if self._uv:  # from its standard input: uv takes relative paths as relative to the file, were it one
            self._run([*self._of_uv("install"), "--no-progress", *limits, "--requirement", "-"], what, has_input=True)
        else:
            argv = [*self._of_pip("install"), "--progress-bar", "off", "--no-input", *limits]
            self._run([*argv, "--requirement", str(self._folder / REQUIREMENTS)], what)

    def versions(self) -> list[str]:
        """What is installed now, as `name==version` lines."""
        argv = self._of_uv("freeze") if self._uv else self._of_pip("freeze")
        answer = tool.ask(argv, environ=self._environ)
        if answer.code != 0:
            raise PhaseError(f"{self.program} cannot list what it has installed: {telling(answer.stderr)}")
        return answer.stdout.splitlines()

    @property
    def _inner(self) -> str:
        return str(self._folder / "bin/python")

    def _of_uv(self, verb: str) -> list[str]:
        return [self._uv, "pip", verb, "--python", self._inner]

    def _of_pip(self, verb: str) -> list[str]:
        return [self._inner, "-I", "-m", "pip", "--disable-pip-version-check", verb]

    def _run(self, argv: list[str], what: str, *, has_input: bool = False) -> None:
        start = self._phase.log_end()
        with (self._folder / REQUIREMENTS if has_input else Path(os.devnull)).open("rb") as stdin:
            code = tool.run(argv, environ=self._environ, cwd=self._cwd, stdin=stdin)
        if code != 0:
            why = telling(since(start).replace(f"{self._folder}/", "")) or f"{self.program} ended with the exit code {code}"
            raise PhaseError(f"{what}: {why}{shortage(self._folder)}")
