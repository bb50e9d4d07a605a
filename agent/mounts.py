"""Mounts below a folder: which there are, and taking them off. Reads /proc/self/mountinfo; blocks."""

from __future__ import annotations

import subprocess
from pathlib import Path


def mounted_below(folder: Path) -> list[Path]:
    """What is mounted on `folder` or below it, the deepest first."""
    folder = folder.resolve()  # as the kernel writes it
    found = []
    for line in Path("/proc/self/mountinfo").read_bytes().splitlines():
        place = Path(_unescaped(line.split(b" ")[4]))
        if place == folder or folder in place.parents:
            found.append(place)
    return sorted(found, key=lambda place: len(place.parts), reverse=True)


def unmount(folder: Path) -> list[str]:
    """Take off all that is mounted on `folder` or below it; what could not be, as sentences. A busy mount goes lazily."""
    troubles = []
    for place in mounted_below(folder):
        for words in (("umount",), ("umount", "--lazy")):
            done = subprocess.run([*words, str(place)], capture_output=True, check=False)
            if done.returncode == 0:
                break
        else:
            troubles.append(f"{place} cannot be unmounted: {done.stderr.decode(errors='replace').strip()}")
    return troubles


def _unescaped(word: bytes) -> str:
    # The kernel writes blanks and backslashes in a path as \ooo.
    pieces = word.split(b"\\")
    plain = pieces[0] + b"".join(bytes([int(piece[:3], 8)]) + piece[3:] for piece in pieces[1:])
    return plain.decode("utf-8", "surrogateescape")
