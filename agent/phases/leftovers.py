"""What podman and buildah leave behind where they are killed: a step's process in a runtime's container, working containers
with their mounts, temporary files. Each is found by a mark of this run's own, and only that is removed.

Writes .runyard/phase/<phase>/tools.json before such a tool starts, which tells where to look; `clear` removes it last.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runyard import names
from runyard.agent.mounts import unmount
from runyard.atomic import read_json, write_json

from . import tool
from .phase import Phase

# A build argument that no Containerfile asks for: it changes nothing in the image and is kept with each working container.
MARK_ARGUMENT = "RUNYARD_BUILD"
# A container of which nothing is known so long after it was made belongs to nobody.
SETTLE_S = 2.0
_PHASES = ("image", "execution")


@contextmanager
def cleared(phase: Phase) -> Iterator[dict[str, str]]:
    """The environment for a tool that may leave something behind; at the block's end, however it comes, that is removed."""
    folder = _temporary_folder(phase)
    note = _note(phase, phase.name)
    note.parent.mkdir(mode=names.DIR_MODE, parents=True, exist_ok=True)
    write_json(str(note), {"temporary": str(folder), "begun_s": time.time()}, durable=False)
    _make(folder, phase.cache_dir / "build-cache")
    try:
        yield {**os.environ, "TMPDIR": str(folder)}
    finally:
        clear(phase)


def mark(phase: Phase) -> str:
    """What names this run's tools on this machine."""
    return hashlib.sha256(os.fsencode(phase.run_dir.resolve())).hexdigest()[:16]


def clear(phase: Phase) -> None:
    """Remove what killed tools of this run have left, in whichever phase: what a phase that works with such tools does first.

    Blocks; nothing to do in most runs.
    """
    for name in _PHASES:
        note = _note(phase, name)
        kept: dict[str, Any] | None = read_json(str(note))
        if kept is None:
            continue
        folder = Path(kept["temporary"])
        _end_steps(folder)
        _remove_containers(mark(phase), kept["begun_s"])
        if _is_ours(folder) and not unmount(folder):  # to remove what is mounted there would remove it from where it comes
            shutil.rmtree(folder, ignore_errors=True)
        note.unlink(missing_ok=True)


def _note(phase: Phase, name: str) -> Path:
    return phase.run_dir / names.phase_dir(name) / "tools.json"


def _temporary_folder(phase: Phase) -> Path:
    # Where podman itself would put them: there is room for layers, and TMPDIR is how people move it.
    return Path(os.environ.get("TMPDIR") or "/var/tmp") / f"runyard-{mark(phase)}"  # noqa: S108 - made with care below


def _make(folder: Path, build_cache: Path) -> None:
    """The folder, and in it, under both names that are in use, what RUN --mount=type=cache keeps from build to build."""
    folder.mkdir(mode=names.DIR_MODE)  # fails where somebody else has put something there
    build_cache.mkdir(mode=names.DIR_MODE, parents=True, exist_ok=True)
    for name in ("buildah-cache", f"buildah-cache-{os.getuid()}"):
        (folder / name).symlink_to(build_cache)


def _is_ours(folder: Path) -> bool:
    try:
        state = folder.lstat()
    except FileNotFoundError:
        return False
    return folder.is_dir() and not folder.is_symlink() and state.st_uid == os.getuid()


def _end_steps(folder: Path) -> None:
    """Kill RUN steps that go on without their builder: the runtime knows each by the name of its folder in `folder`."""
    steps = [path.name for path in folder.glob("buildah[0-9]*") if (path / "config.json").exists()]
    runtime = _from_podman("{{.Host.OCIRuntime.Path}}") if steps else ""
    for step in steps:
        if runtime:
            tool.ask([runtime, "delete", "--force", f"buildah-{step}"])


def storage_root() -> Path:
    """Where podman keeps images and containers."""
    return Path(_from_podman("{{.Store.GraphRoot}}") or "/")


def _remove_containers(run_mark: str, begun_s: float) -> None:
    listed = tool.ask(["podman", "ps", "--all", "--external", "--format", "json"]).value if shutil.which("podman") else ""
    root = storage_root() if listed else Path()
    for container in json.loads(listed or "[]"):
        if container["State"] != "storage":  # one of podman's own: those that images are built in are only in its storage
            continue
        made_s = float(container["Created"])
        folder = next(root.glob(f"*-containers/{container['Id']}/userdata"), root / "none")
        if _mark_in(folder) == run_mark or (made_s >= int(begun_s) and _is_stillborn(folder, made_s)):
            tool.ask(["podman", "rm", "--force", container["Id"]])


def _mark_in(folder: Path) -> str:
    try:
        value = json.loads((folder / "buildah.json").read_bytes())
    except (OSError, ValueError):  # none of a builder's, or it is being removed
        return ""
    return str((value.get("Args") or {}).get(MARK_ARGUMENT, ""))


def _is_stillborn(folder: Path, made_s: float) -> bool:
    """Whether a builder died between making a container and writing down what it is: then nobody can use it."""
    if _is_blank(folder):
        time.sleep(max(0.0, made_s + SETTLE_S - time.time()))  # a builder that lives writes it down at once
    return _is_blank(folder)


def _is_blank(folder: Path) -> bool:
    try:
        return all(path.name.startswith(".tmp-buildah.json") for path in folder.iterdir())
    except FileNotFoundError:
        return True


def _from_podman(template: str) -> str:
    """What `podman info` says; empty where there is no podman any more."""
    if not shutil.which("podman"):
        return ""
    return tool.ask(["podman", "info", "--format", template]).value
