"""A real `runyard run` whose driver waits, and a client that speaks with its loopback server as MLflow's clients do."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runyard import names
from tests.agent.node_runs import DEADLINE_S, NodeRun
from tests.waiting import wait_for

DRIVER = 'env >"$0/env"; mv "$0/env" "$0/told"; while [ ! -e "$0/go" ]; do sleep 0.02; done'


@dataclass(frozen=True)
class Answer:
    """Status, and the JSON or text that came."""

    status: int
    body: Any


class Waiting:
    """The run, and the variables that its driver was given."""

    def __init__(self, run: NodeRun, folder: Path) -> None:
        self.run = run
        self._go = folder / "go"
        lines = (folder / "told").read_text().splitlines()
        self.env = dict(line.split("=", 1) for line in lines if "=" in line)

    def ask(self, method: str, path: str, body: Any = None, *, authorization: str | None = None) -> Answer:
        """One request to the loopback server; bytes go as they are, anything else as JSON."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.env["MLFLOW_TRACKING_URI"] + path, data, method=method)
        request.add_header("Content-Type", "application/json")
        token = self.env["MLFLOW_TRACKING_TOKEN"]
        request.add_header("Authorization", f"Bearer {token}" if authorization is None else authorization)
        try:
            with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
                return Answer(answer.status, _value(answer.read()))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, _value(error.read()))

    def post(self, path: str, **body: Any) -> Any:
        """A POST below MLflow's prefix that has to be answered well."""
        answer = self.ask("POST", f"/api/2.0/mlflow/{path}", body)
        assert answer.status == 200, answer
        return answer.body

    def get(self, path: str) -> Any:
        """The same of a GET."""
        answer = self.ask("GET", f"/api/2.0/mlflow/{path}")
        assert answer.status == 200, answer
        return answer.body

    @property
    def server_pid(self) -> int:
        """The server's process id; 0 where none was started."""
        lock = self.run.path(names.LOOPBACK_LOCK)
        words = lock.read_text().split() if lock.exists() else []
        return int(words[0]) if words else 0

    def end(self) -> int:
        """Let the driver end; the exit code of `runyard run`."""
        self._go.touch()
        assert self.run.process is not None
        self.run.process.communicate(timeout=DEADLINE_S)
        return int(self.run.process.returncode)


def _value(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return data.decode(errors="replace")


@contextmanager
def waiting(folder: Path, *flags: str, run_id: str = "r", env: Mapping[str, str] = {}) -> Iterator[Waiting]:
    """A run whose driver runs until the block's end."""
    driver = folder / f"driver-{run_id}"
    driver.mkdir()
    run = NodeRun(folder / "spool", "sh", "-c", DRIVER, str(driver), run_id=run_id, flags=flags, env=env)
    process = run.launch()
    try:
        wait_for((driver / "told").exists, "the driver's variables")
        yield Waiting(run, driver)
        (driver / "go").touch()
        process.communicate(timeout=DEADLINE_S)
    finally:
        (driver / "go").touch()
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()
