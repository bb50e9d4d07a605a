"""What is kept of a driver's end beside its exit code, and that keeping it changes nothing for the driver."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runyard import names
from runyard.agent.evidence import torch_error
from tests.agent.node_runs import NodeRun

HOOK = Path(__file__).parents[2] / "agent" / "excepthook"
EVIDENCE = f"{names.process_dir(0)}/evidence.json"


def evidence(tmp_path: Path, program: str, *, env: dict[str, str] | None = None, code: int = 1) -> dict[str, Any]:
    """Of a driver that is this Python program."""
    run = NodeRun(tmp_path / "spool", sys.executable, "-c", program, env=env or {})
    assert run.complete().returncode == code
    found: dict[str, Any] = run.json(EVIDENCE) or {}
    told = run.state()["processes"][0]["evidence"] or {}
    assert told == found
    return found


def python(tmp_path: Path, program: str, **env: str) -> tuple[subprocess.CompletedProcess[str], list[dict[str, Any]]]:
    """A Python program under the hook, and what the hook has noted."""
    path = tmp_path / "exceptions.jsonl"
    environ = os.environ | {"PYTHONPATH": str(HOOK), "RUNYARD_EXCEPTION_FILE": str(path)} | env
    done = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, timeout=30, check=False)
    return done, [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_the_exception_that_ended_a_driver_is_kept_with_the_one_it_began_with(tmp_path: Path) -> None:
    program = """
try:
    raise ConnectionResetError(104, "reset")
except OSError as error:
    raise RuntimeError("the step\\n failed\\0") from error
"""
    found = evidence(tmp_path, program)
    assert found["exception"] == "RuntimeError: the step failed"
    assert found["exception_first"] == "ConnectionResetError: [Errno 104] reset"
    assert found["exception_mono_ns"] > 0


def test_a_child_that_a_program_tells_of_is_what_failed(tmp_path: Path) -> None:
    program = """
import subprocess, sys
subprocess.run([sys.executable, "-c", "raise ValueError('of the child')"], check=True)
"""
    assert evidence(tmp_path, program)["exception"] == "ValueError: of the child"
    other = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'raise ValueError'])\nraise KeyError('own')"
    found = evidence(tmp_path / "other", other)
    assert found["exception"] == "KeyError: 'own'"


def test_the_hook_can_be_left_out(tmp_path: Path) -> None:
    program = "import os, sys; sys.exit('excepthook' in os.environ.get('PYTHONPATH', '') or 'sitecustomize' in sys.modules)"
    run = NodeRun(tmp_path / "spool", sys.executable, "-c", program, env={"RUNYARD_RUN__EXCEPTHOOK": "off"})
    assert "RUNYARD_EXCEPTION_FILE" not in run.env
    assert run.complete().returncode in (0, 1)
    assert run.json(EVIDENCE) is None
    assert evidence(tmp_path / "second", "raise ValueError", env={"RUNYARD_RUN__EXCEPTHOOK": "off"}) == {}


def test_a_command_that_cannot_be_started_says_why(tmp_path: Path) -> None:
    program = tmp_path / "train"
    program.write_text("#!/no/such/python\n")
    program.chmod(0o700)
    run = NodeRun(tmp_path / "spool", str(program))
    assert run.complete().returncode == 127
    assert "cannot be started" in run.json(EVIDENCE)["cause"]


def test_who_asked_for_the_end_is_kept(tmp_path: Path) -> None:
    run = NodeRun(tmp_path / "spool", "sleep", "60", flags=("--timeout", "0.5s"))
    assert run.complete().returncode == 124
    found = run.json(EVIDENCE)
    assert found["stopped_by"] == "the time limit of 0.5 s"
    assert found["stopped_mono_ns"] <= run.json(f"{names.process_dir(0)}/exit.json")["mono_ns"]


def test_a_program_prints_and_ends_as_it_would_without_the_hook(tmp_path: Path) -> None:
    program = "import sys; print(sys.path[1:2]); raise ValueError('as ever')"
    plain = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    done, notes = python(tmp_path, program)
    assert (done.returncode, done.stdout, done.stderr) == (plain.returncode, plain.stdout, plain.stderr)
    assert [note["type"] for note in notes] == ["ValueError"]


@pytest.mark.parametrize(
    "program",
    [
        "class Odd(Exception):\n    def __str__(self): raise RuntimeError\nraise Odd",
        "raise KeyboardInterrupt",
        "def deep(): deep()\ndeep()",
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3)); raise ValueError('no descriptor is left')",
    ],
)
def test_no_exception_is_too_odd_to_be_told_as_ever(tmp_path: Path, program: str) -> None:
    plain = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    done, _ = python(tmp_path, program)
    assert (done.returncode, done.stderr) == (plain.returncode, plain.stderr)


def test_any_text_is_noted_as_it_is(tmp_path: Path) -> None:
    text = 'quote " and \\\\ and \\n and \\t, é, 漢, \U0001f600, \\x00, \\udc80'
    _, notes = python(tmp_path, f"raise ValueError('{text}')")
    assert notes[0]["message"] == 'quote " and \\ and \n and \t, é, 漢, \U0001f600, \0, \udc80'


def test_exceptions_of_threads_are_noted_as_such_and_sys_exit_is_none(tmp_path: Path) -> None:
    program = """
import sys, threading
def fail(): raise ValueError("in the thread")
def leave(): sys.exit(3)
for target in (fail, leave):
    thread = threading.Thread(target=target); thread.start(); thread.join()
sys.exit(5)
"""
    done, notes = python(tmp_path, program)
    assert done.returncode == 5
    assert "in the thread" in done.stderr
    assert [(note["type"], note["is_thread"]) for note in notes] == [("ValueError", True)]


def test_a_sitecustomize_of_the_users_is_loaded_and_its_hook_called(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "sitecustomize.py").write_text(
        "import sys\nsys.excepthook = lambda *a: print('mine', a[0].__name__)\nLOADED = True\n"
    )
    program = "import sitecustomize; assert sitecustomize.LOADED; raise ValueError"
    done, notes = python(tmp_path, program, PYTHONPATH=f"{HOOK}:{own}")
    assert (done.stdout, done.stderr) == ("mine ValueError\n", "")
    assert [note["type"] for note in notes] == ["ValueError"]


def test_a_file_that_cannot_be_written_harms_nobody(tmp_path: Path) -> None:
    done, notes = python(tmp_path, "raise ValueError('as ever')", RUNYARD_EXCEPTION_FILE="/no/such/folder/file")
    assert (done.returncode, notes) == (1, [])
    assert done.stderr.endswith("ValueError: as ever\n")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"message": {"message": "RuntimeError: no\\n loss", "extraInfo": {"timestamp": "1"}}}', "RuntimeError: no loss"),
        ('{"message": "ValueError: x"}', "ValueError: x"),
        ('{"message": {"message": 3}}', ""),
        ("[]", ""),
        ("torn {", ""),
    ],
)
def test_torchs_error_file_is_read_in_all_its_forms(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "error.json"
    path.write_text(content)
    assert torch_error(str(path)) == message
    assert torch_error(str(tmp_path / "none")) == ""


def test_torch_gets_an_error_file_unless_the_user_has_given_one(tmp_path: Path) -> None:
    program = """
import json, os, sys
open(os.environ["TORCHELASTIC_ERROR_FILE"], "w").write(json.dumps({"message": {"message": "torch says so"}}))
sys.exit(1)
"""
    run = NodeRun(tmp_path / "spool", sys.executable, "-c", program, flags=("--distribution", "pytorch"))
    assert run.complete().returncode == 1
    assert run.json(EVIDENCE)["error_file"] == "torch says so"
    own = str(tmp_path / "own.json")
    run = NodeRun(
        tmp_path / "second",
        sys.executable,
        "-c",
        program,
        flags=("--distribution", "pytorch"),
        env={"TORCHELASTIC_ERROR_FILE": own},
    )
    run.complete()
    assert Path(own).exists()
