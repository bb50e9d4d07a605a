"""Real runs that go through phases, and a context manager of a user's own that tells when it is entered and left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from runyard import names
from runyard.agent import proctree
from tests.agent.node_runs import NodeRun, is_alive
from tests.waiting import wait_for

PROBE = """
import os, time

class Probe:
    def __init__(self, job, *, name, journal, at_enter="", at_leave="", until=""):
        self.job, self.name, self.journal, self.until = job, name, journal, until
        self.at_enter, self.at_leave = at_enter, at_leave
        self.state = {}

    def note(self, word):
        with open(self.journal, "a") as file:
            file.write(f"{word} {self.name} {self.state.get('token', '-')}\\n")
        self.job.say(f"{word} {self.name}")

    def act(self, what):
        if what == "fail":
            raise ValueError(f"{self.name} cannot")
        if what == "hang":
            while True:
                try:
                    time.sleep(3600)
                except Exception:
                    pass
        if what == "stuck":
            import ctypes
            ctypes.PyDLL(None).sleep(3600)
        if what == "wait":
            while not os.path.exists(self.until):
                time.sleep(0.02)

    def __enter__(self):
        self.note("enter")
        self.act(self.at_enter)
        self.state["token"] = f"token-of-{self.name}"
        return self

    def __exit__(self, *raised):
        self.note("leave")
        self.act(self.at_leave)
"""


class PhasedRun(NodeRun):
    """A run with a run.toml: `spec` is its text; the probe's module lies in its code folder."""

    def __init__(self, folder: Path, spec: str, *command: str, **options: Any) -> None:
        self.folder = folder
        self.code = folder / "code"
        self.code.mkdir(exist_ok=True)
        (self.code / "probe.py").write_text(PROBE)
        (folder / "run.toml").write_text(spec)
        env = {"RUNYARD_ENVIRONMENT__CACHE_DIR": str(folder / "cache"), "RUNYARD_RUN__DRAIN_S": "1"} | dict(
            options.pop("env", {})
        )
        flags = ("--spec", str(folder / "run.toml"), *options.pop("flags", ()))
        super().__init__(options.pop("spool", folder / "spool"), *command, flags=flags, env=env, **options)

    @property
    def journal(self) -> Path:
        return self.folder / "journal"

    def told(self) -> list[str]:
        """What the probes have told: `enter a -`, `leave a token-of-a`, …"""
        return self.journal.read_text().splitlines() if self.journal.exists() else []

    def text(self, kind: str) -> str:
        """The text of a phase's log: 20, 55, 65 or 75."""
        found = sorted((self.run_dir / names.LOGS_DIR).glob(f"{kind}_*"))
        return found[0].read_text(errors="replace") if found else ""

    def begin(self) -> None:
        """Start it and come back when its folder is there."""
        self.launch()
        wait_for(lambda: self.state(), "the run's first word")

    def finish(self) -> dict[str, Any]:
        """Wait for the process that was started; the run's last state."""
        assert self.process is not None
        self.out, self.err = self.process.communicate(timeout=90)
        return self.final_state()

    def wait_phase(self, phase: str) -> None:
        wait_for(lambda: self.state().get("phase") == phase, f"the phase {phase}")

    def phase_pids(self, phase: str) -> list[int]:
        """The processes of a phase, whoever their parent is."""
        return proctree.with_environment(proctree.marker(self.json(names.RUN_FILE)), f"RUNYARD_PHASE={phase}")

    def leftovers(self) -> list[int]:
        """Every process that still belongs to the run."""
        return [pid for pid in proctree.with_environment(proctree.marker(self.json(names.RUN_FILE))) if is_alive(pid)]

    def mounts(self) -> list[str]:
        """What is mounted below the run's folders."""
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        return [line.split()[4] for line in lines if line.split()[4].startswith(str(self.folder))]


def probe(name: str, journal: Path, *, timeout: str = "10s", **options: str) -> str:
    """A probe's lines in run.toml."""
    values = {"name": name, "journal": str(journal)} | options
    inner = ", ".join(f"{key} = {json.dumps(value)}" for key, value in values.items())
    return f'[[context_managers]]\nuse = "probe:Probe"\ntimeout = "{timeout}"\noptions = {{ {inner} }}\n'


def script(text: str) -> tuple[str, ...]:
    """A driver of a few lines of shell."""
    return ("sh", "-c", text)


def is_there(path: Path) -> str:
    """Shell that waits for a file."""
    return f"while [ ! -e {path} ]; do sleep 0.02; done"
