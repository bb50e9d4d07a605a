"""Pressure stall information: the share of time in which work waited for cpu, memory or io.

Reads /proc/pressure and a cgroup's *.pressure files. A kernel without it, or with it switched off (`psi=0`: the files are there
and cannot be read), has none: then nothing is told of it.
"""

from __future__ import annotations

from pathlib import Path

RESOURCES = ("cpu", "memory", "io")
HOST = Path("/proc/pressure")


def of_host(folder: Path = HOST) -> dict[str, tuple[float, float]]:
    """Resource → (some, full) of the whole machine: percent of the last 10 s."""
    return {name: found for name in RESOURCES if (found := read(folder / name)) is not None}


def of_group(folder: Path) -> dict[str, tuple[float, float]]:
    """The same of the cgroup v2 that `folder` is."""
    return {name: found for name in RESOURCES if (found := read(folder / f"{name}.pressure")) is not None}


def read(path: Path) -> tuple[float, float] | None:
    """(some, full) in percent of the last 10 s; None where the kernel does not tell. Older ones tell no `full` of cpu."""
    try:
        text = path.read_text()
    except OSError:
        return None
    found = {"some": 0.0, "full": 0.0}
    for line in text.splitlines():
        kind, _, values = line.partition(" ")
        average = values.partition("avg10=")[2].split(" ", 1)[0]
        try:
            found[kind] = float(average)
        except ValueError:
            return None
    return found["some"], found["full"]
