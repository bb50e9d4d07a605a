"""A node that downloads datastores, for tests: in this process, or in one of its own that can be killed."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import pytest

from runyard.agent.phases.datastore import Downloaded, download
from runyard.errors import PhaseError
from runyard.spec import Datastore
from tests.waiting import wait_for

# A process of its own that downloads; SIGTERM cancels it, as the phase's own does.
DOWNLOAD = """
import json, pathlib, signal, sys
from runyard.agent.phases.datastore import download
from runyard.agent.phases.phase import Canceled
from runyard.spec import Datastore
def cancel(number, frame):
    raise Canceled
signal.signal(signal.SIGTERM, cancel)
store, target = Datastore(**json.loads(sys.argv[1])), pathlib.Path(sys.argv[2])
try:
    download(store, target, say=lambda text: print(text, flush=True), secrets=json.loads(sys.argv[3]))
except Canceled:
    print("canceled", flush=True)
"""


def tree(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write the files."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def content(folder: Path) -> dict[str, bytes]:
    """All files below the folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def sums(files: Mapping[str, bytes]) -> bytes:
    """The files' checksums as sha256sum writes them."""
    return "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in files.items()).encode()


class Node:
    """A node with a folder for data and a log."""

    def __init__(self, folder: Path) -> None:
        self.target = folder / "data" / "set"
        self.said: list[str] = []

    def get(self, store: Datastore, *, secrets: Mapping[str, str] | None = None) -> Downloaded:
        """Download it, with short pauses between the tries."""
        return download(store, self.target, say=self.said.append, secrets=secrets or {}, first_pause_s=0.01)

    def fails(self, store: Datastore, *, secrets: Mapping[str, str] | None = None) -> str:
        """Download it in vain: the sentence."""
        with pytest.raises(PhaseError) as caught:
            self.get(store, secrets=secrets)
        return str(caught.value)

    def parts(self) -> list[Path]:
        """What is under way."""
        folder = self.target.with_name(f".{self.target.name}.download") / "parts"
        return list(folder.iterdir()) if folder.exists() else []

    def killed(self, store: Datastore, secrets: Mapping[str, str] | None = None) -> int:
        """Start a download, and kill it when more than 1 MiB of its one file is there: how many bytes are."""
        process = started(store, self.target, secrets)
        wait_for(lambda: sum(path.stat().st_size for path in self.parts()) > 1 << 20, "a part has come")
        process.kill()
        process.communicate()
        (part,) = self.parts()
        return part.stat().st_size


def started(store: Datastore, target: Path, secrets: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """A download in a process of its own. SIGTERM cancels it."""
    words = [json.dumps(asdict(store)), str(target), json.dumps(secrets or {})]
    return subprocess.Popen([sys.executable, "-c", DOWNLOAD, *words], stdout=subprocess.PIPE, text=True)
