"""A real collector for tests: its own process, port and data folder.

`with running_collector(folder) as collector:`, or the fixture `collector`. `kill` and `restart` keep the port and the data.
"""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from runyard.client import CollectorClient
from runyard.collector.database import open_database
from runyard.names import DIR_MODE, FILE_MODE

READY = re.compile(r"runyard collector ready url=(\S+) data_dir=(.+) token_file=(.+)")
START_LIMIT_S = 30.0
STOP_LIMIT_S = 15.0
CATALOG = "collector.sqlite3"


class CollectorProcess:
    """One collector. Its log (JSON lines) lies in `log_file`."""

    def __init__(
        self,
        data_dir: Path,
        *,
        environ: Mapping[str, str] | None = None,
        arguments: tuple[str, ...] = (),
        within: Sequence[str] = (),
    ) -> None:
        self.data_dir = data_dir
        self._within = within
        self.log_file = data_dir.with_name(data_dir.name + ".log")
        self.url = ""
        self.local_url = ""  # where the test reaches it, if that is another way than its nodes have
        self.token = ""
        self._port = 0
        self._arguments = arguments
        self._environ = _clean_environment() | dict(environ or {})
        self._process: subprocess.Popen[str] | None = None
        self._clients: list[CollectorClient] = []

    @property
    def pid(self) -> int:
        """The process id of the collector that runs now."""
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    @property
    def log_text(self) -> str:
        """Everything it has logged."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def start(self) -> None:
        """Start it and wait until it accepts connections; the first port is kept for the next starts."""
        command = [sys.executable, "-m", "runyard", "collector", "--port", str(self._port), "--data-dir", str(self.data_dir)]
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._within, *command, *self._arguments], stdout=subprocess.PIPE, stderr=log, env=self._environ, text=True
            )
        match = READY.match(self._first_line())
        if match is None:
            self.stop(signal.SIGKILL)
            raise AssertionError(f"the collector did not start; its log:\n{self.log_text[-4000:]}")
        self.url = match[1]
        self._port = int(self.url.rpartition(":")[2])
        self.token = Path(match[3]).read_text().strip()

    def _first_line(self) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        poll = select.poll()  # the tests of one process may hold more descriptors than select() knows
        poll.register(self._process.stdout, select.POLLIN)
        return self._process.stdout.readline() if poll.poll(START_LIMIT_S * 1000) else ""

    def client(self, token: str | None = None, *, timeout_s: float = 10.0) -> CollectorClient:
        """A new client, with the administrator's token unless another one is given."""
        client = CollectorClient(self.local_url or self.url, self.token if token is None else token, timeout_s=timeout_s)
        self._clients.append(client)
        return client

    def kill(self) -> None:
        """SIGKILL, as the machine's out-of-memory killer would."""
        self.stop(signal.SIGKILL)

    def restart(self) -> None:
        """Start it again on the same port with the same data; stops it first where it still runs."""
        self.stop()
        self.start()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it and wait; returns the exit code (negative: the signal)."""
        process = self._process
        if process is None:
            return 0
        if process.poll() is None:
            process.send_signal(number)
        try:
            code = process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"the collector did not stop within {STOP_LIMIT_S} s") from None
        finally:
            if process.stdout is not None:
                process.stdout.close()
        self._process = None
        return code

    def close(self) -> None:
        """Close the clients and end the process, however the test went."""
        for client in self._clients:
            client.close()
        self.stop(signal.SIGKILL)


def _clean_environment() -> dict[str, str]:
    """The environment without settings of whoever runs the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RUNYARD_", "XDG_"))}
    return kept | {"PYTHONUNBUFFERED": "1"}


@cache
def _empty_catalog() -> bytes:
    """The file of a catalog in which nothing is, as a collector makes it at its first start."""
    with TemporaryDirectory() as folder:
        open_database("", Path(folder), lambda: None).close()
        return Path(folder, CATALOG).read_bytes()


def _put_catalog(data_dir: Path) -> None:
    """A third of the CPU of a first start goes into its catalog's tables, which are the same each time."""
    if not (data_dir / CATALOG).exists():
        data_dir.mkdir(DIR_MODE, parents=True, exist_ok=True)
        (data_dir / CATALOG).touch(FILE_MODE)
        (data_dir / CATALOG).write_bytes(_empty_catalog())


@contextmanager
def running_collector(
    folder: Path,
    *,
    environ: Mapping[str, str] | None = None,
    arguments: tuple[str, ...] = (),
    within: Sequence[str] = (),
) -> Iterator[CollectorProcess]:
    """A collector with its data in `folder`/collector, ended at the end of the block. `within` are words that start it in
    another place and become it: for one in a network namespace, with `--host` among the arguments, its `url` is reached only
    from there."""
    process = CollectorProcess(folder / "collector", environ=environ, arguments=arguments, within=within)
    _put_catalog(process.data_dir)
    try:
        process.start()
        yield process
    finally:
        process.close()
