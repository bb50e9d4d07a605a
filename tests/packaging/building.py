"""How distributions are built: the command, and the tree that it is given."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
# What is built from studio/, and not known to git.
BUILT = ("collector/static/index.html", "runyard/widgets/static/widget.js")


def tracked() -> list[str]:
    """Paths that git knows and that are there, relative to the repository."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return [path for path in listed.split("\0") if path and os.path.lexists(ROOT / path)]


def copied(copy: Path) -> Path:
    """What git knows, in another folder."""
    for path in tracked():
        (copy / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, copy / path, follow_symlinks=False)
    return copy


def path_with_node() -> str:
    """Folders of commands, with the Node that building the page has brought."""
    return f"{ROOT / '.cache' / 'node' / 'bin'}:{os.environ['PATH']}"


def built(tree: Path, path: str, what: str) -> subprocess.CompletedProcess[str]:
    """The command that builds a distribution (`what`: --wheel or --sdist) into <tree>/dist, with these folders of commands."""
    command = [sys.executable, "-m", "build", what, "--no-isolation", "--outdir", str(tree / "dist"), str(tree)]
    return subprocess.run(command, env=os.environ | {"PATH": path}, capture_output=True, text=True)
