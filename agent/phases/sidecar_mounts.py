"""What the sidecar's container sees of its node: programs, the run's folders, and what preparation and release work on.

Each is mounted at the path by which the run names it, whatever links lead there. Makes the skeleton of the root file system,
the folders that are to be written to, and nothing else.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from runyard import names
from runyard.context import Volume
from runyard.spec import Manager

from .phase import Phase

# Of the node's own root file system: programs, libraries and their settings.
_SYSTEM_DIRS = ("usr", "etc", "opt", "bin", "sbin", "lib", "lib32", "lib64", "libx32")
_EMPTY_DIRS = ("proc", "sys", "dev", "run", "tmp", "root", "var/tmp")


def volumes(phase: Phase, root: Path) -> list[Volume]:
    """All there is to mount in the root file system `root`, outer folders before what lies in them."""
    wanted = [*_system(root), *_of_python(), *_read(phase), *_written(phase)]
    found = {one.target: one for one in wanted if os.path.exists(one.source)}  # noqa: PTH110 - at one place the last one counts
    kept: list[Volume] = []
    for target in sorted(found):
        if not _is_seen(found[target], kept):
            kept.append(found[target])
    return kept


def _is_seen(volume: Volume, kept: list[Volume]) -> bool:
    """Whether the same can be seen at the same place, in the same mode, through the mount that it would lie in."""
    outer = [one for one in kept if volume.target.startswith(one.target.rstrip("/") + "/")]
    if not outer:
        return False
    last = outer[-1]
    same = last.source + volume.target[len(last.target) :]
    return volume.source == same and volume.read_only == last.read_only


def _at(path: str | Path, *, read_only: bool) -> Volume:
    """What lies behind the path, at the path."""
    return Volume(os.path.realpath(path), os.path.normpath(path), read_only)


def _system(root: Path) -> Iterator[Volume]:
    for name in _EMPTY_DIRS:
        Path(root, name).mkdir(parents=True, exist_ok=True)
    for name in _SYSTEM_DIRS:
        path = Path("/", name)
        if path.is_symlink():  # /bin is usr/bin where the two are merged
            Path(root, name).symlink_to(path.readlink())
        elif path.is_dir():
            yield _at(path, read_only=True)


def _of_python() -> Iterator[Volume]:
    """The Python that we run in: also behind its links, since an interpreter follows them by itself."""
    for path in (sys.prefix, sys.base_prefix, *sys.path):
        yield _at(path, read_only=True)
        yield _at(os.path.realpath(path), read_only=True)


def _read(phase: Phase) -> Iterator[Volume]:
    for store in phase.spec.datastores:
        if store.local_path:
            yield _at(store.local_path, read_only=True)
    inner = [manager.options.get("secrets") for manager in phase.spec.context_managers]
    for secrets in (*(store.secrets for store in phase.spec.datastores), *inner):
        for word in secrets.values() if isinstance(secrets, dict) else ():
            if str(word).startswith("file:/"):
                yield _at(str(word).removeprefix("file:"), read_only=True)


def _written(phase: Phase) -> Iterator[Volume]:
    managers = [Path(place) for manager in phase.spec.context_managers for place in _places(manager)]
    for folder in (*managers, phase.cache_dir, phase.work_dir, phase.run_dir):
        with suppress(OSError):  # the manager that wants it says why it cannot have it
            folder.mkdir(mode=names.DIR_MODE, parents=True, exist_ok=True)  # in there, it would be made in the skeleton
        yield _at(folder, read_only=False)


def _places(manager: Manager) -> Iterator[str]:
    """The folders of this node that a manager's options name."""
    url, root = str(manager.options.get("url", "")), str(manager.options.get("root", ""))
    if url.startswith(("file:///", "/")):
        yield url.removeprefix("file://")
    if root.startswith("/"):
        yield root
