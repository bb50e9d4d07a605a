"""Finding the files of a run that are to be shipped.

Reads the folders below a run's spool; writes nothing. Links and special files are not followed and not named.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence

from runyard import names

# What grows while the run lives, and what is taken once it has ended.
LIVE_ROOTS = (names.LOGS_DIR, names.USER_LOGS_DIR, names.INDEX_DIR, names.TRACKING_DIR, names.BLOBS_DIR)
ALL_ROOTS = (*LIVE_ROOTS, names.OUTPUTS_DIR)

_DIGEST_LENGTH = 64
_HEX = frozenset("0123456789abcdef")


def walk(run_dir: str, roots: Sequence[str]) -> Iterator[tuple[str, int]]:
    """(name relative to the run, inode) of every regular file. What vanishes or cannot be read meanwhile is passed over."""
    folders = [root for root in roots if is_plain_folder(run_dir, root)]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(f"{run_dir}/{folder}") as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(f"{folder}/{entry.name}")
                    elif entry.is_file(follow_symlinks=False):
                        yield f"{folder}/{entry.name}", entry.inode()
        except OSError:
            continue  # the next scan looks again


def is_unfinished(name: str) -> bool:
    """Whether a file among the blobs has not got its name yet (runyard/tracking/blobs.py): it is none of the run's files."""
    if not name.startswith(names.BLOBS_DIR + "/"):
        return False
    blob = name[len(names.BLOBS_DIR) + 1 :]
    return len(blob) != _DIGEST_LENGTH or not _HEX.issuperset(blob)


def is_plain_folder(run_dir: str, name: str) -> bool:
    """Whether `name` and everything above it are folders, none of them a link that leads elsewhere."""
    path = run_dir
    for part in name.split("/"):
        path = f"{path}/{part}"
        try:
            if not stat.S_ISDIR(os.lstat(path).st_mode):
                return False
        except OSError:
            return False
    return True


def why_not_shipped(name: str) -> str:
    """What keeps a file of this name from being shipped, as the end of a sentence; empty where nothing does."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return "is not UTF-8, and the collector's names are text"
    return names.why_bad_stream_name(name)
