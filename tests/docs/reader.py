"""A reader of a document: a folder and a home of one's own, our command, and what the document takes for granted.

`with read(folder, blocks) as done:` types all commands of a document. A collector is there, known by its variables, unless
the document starts one itself; so is a cluster `lab` of two nodes, where the document names it and starts no agent; and so
is a training, train.py.
"""

from __future__ import annotations

import os
import re
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from runyard import names
from runyard.agent import proctree
from runyard.atomic import read_json
from tests.agent_process import QUICK, running_agent
from tests.collector_process import running_collector
from tests.docs.documents import ROOT, Block, Shown, script

LIMIT_S = 100.0
TRAINING = "print('trained')\n"
PORT = "8750"  # of the documents; the test's is another one


@dataclass(frozen=True, slots=True)
class Done:
    """How typing the whole document went."""

    returncode: int
    text: str
    shown: list[Shown]
    folder: Path

    def printed(self, shown: Shown) -> str:
        """What the command has really printed."""
        path = self.folder / shown.output
        return path.read_text(errors="replace") if path.exists() else ""


@contextmanager
def read(folder: Path, found: Sequence[Block], *, commands: Path | None = None) -> Iterator[Done]:
    """Types what is in the blocks, with the commands of the folder `commands` (else this environment's)."""
    typed = "\n".join(block.text for block in found if block.kind in ("sh", "console") and not block.tested_by)
    home = folder / "home"
    home.mkdir()
    (home / "train.py").write_text(TRAINING)
    port = _free_port()
    environ = _environ(home, commands)
    with ExitStack() as stack:
        if not re.search(r"runyard collector (?!backup|restore)", typed):
            collector = stack.enter_context(running_collector(folder / "there"))
            port = int(collector.url.rpartition(":")[2])
            environ |= {"RUNYARD_COLLECTOR_URL": collector.url, "RUNYARD_TOKEN": collector.token}
            if re.search(r"\blab\b", typed) and "runyard agent" not in typed:
                for node in ("n1", "n2"):
                    stack.enter_context(running_agent(folder / node, collector, environ={"PATH": environ["PATH"]}))
        text, shown = script(found, port)
        text = text.replace(PORT, str(port))
        stack.callback(_end, home)
        process = subprocess.Popen(
            ["bash"],
            cwd=home,
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        (folder / "typed.sh").write_text(text)
        try:
            said = _type(process, text, folder)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        yield Done(process.returncode, said, shown, home)


def _type(process: subprocess.Popen[str], text: str, folder: Path) -> str:
    """From a file, not from its stdin: commands in it may read that."""
    assert process.stdin is not None
    process.stdin.write(f"exec bash {folder / 'typed.sh'} < /dev/null\n")
    process.stdin.close()
    assert process.stdout is not None
    try:
        # Not until every copy of the pipe is closed: what a document leaves running in the background has one.
        process.wait(LIMIT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    os.set_blocking(process.stdout.fileno(), False)
    data = b""
    with suppress(BlockingIOError):
        while piece := os.read(process.stdout.fileno(), 1 << 16):
            data += piece
    process.stdout.close()
    return data.decode(errors="replace")


def _free_port() -> int:
    """Below those that the system gives to whoever asks for any: nobody is given it before the reader's collector has it."""
    while True:
        port = secrets.choice(range(12_000, 30_000))
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port


def _environ(home: Path, commands: Path | None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RUNYARD_", "XDG_", "MLFLOW_"))}
    environ = kept | QUICK | {"HOME": str(home), "TERM": "dumb", "LC_ALL": "C.UTF-8"}
    environ["PATH"] = f"{commands or Path(sys.executable).parent}:{os.environ['PATH']}"
    if commands is None:
        # Where the package is not installed for whoever is started in another folder.
        environ["PYTHONPATH"] = str(ROOT)
    return environ


def _end(home: Path) -> None:
    """What the reader's runs and collectors still have."""
    for path in home.rglob(names.RUN_FILE):
        run = read_json(str(path))
        if isinstance(run, dict):
            proctree.send(proctree.with_environment(proctree.marker(run)), 9)
