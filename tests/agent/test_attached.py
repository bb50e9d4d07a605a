"""Interactive runs on the node: a process that we did not start is watched, never signalled, and its end is told as it was."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runyard import names
from runyard.agent import launch, proctree
from runyard.agent.attached import ended
from runyard.agent.stop import request_stop
from tests.interactive_script import ALONE, Script, attach_pids, shepherd_pid
from tests.waiting import wait_for

from .node_runs import is_alive

Begin = Callable[..., Script]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    """Starts a script that makes a run of itself, without a collector, and then does what it is told."""
    scripts: list[Script] = []

    def start(rest: str, **env: str) -> Script:
        scripts.append(Script(tmp_path, ALONE + rest, env=env))
        return scripts[-1]

    yield start
    for script in scripts:
        script.close()


@pytest.mark.parametrize(
    ("rest", "status", "exit_code", "cause"),
    [
        ("run.log('loss', 1)", "Completed", 0, ""),
        ("sys.exit(0)", "Completed", 0, ""),
        ("sys.exit(3)", "Failed", 3, "exit code 3"),
        ("sys.exit('no data')", "Failed", 1, "exit code 1"),
        ("raise ValueError('bad thing')", "Failed", 1, "ValueError: bad thing"),
        (
            "os.kill(os.getpid(), signal.SIGINT); time.sleep(9)",
            "Canceled",
            None,
            "process {pid} was interrupted from its keyboard",
        ),
        ("os.kill(os.getpid(), signal.SIGKILL)", "Failed", None, "process {pid} ended without saying how its run ended"),
        ("os._exit(0)", "Failed", None, "process {pid} ended without saying how its run ended"),
    ],
)
def test_the_end_of_the_process_is_the_end_of_its_run(
    begin: Begin, rest: str, status: str, exit_code: int | None, cause: str
) -> None:
    script = begin(rest)
    script.end()
    state = script.final_state()
    told = {name: state[name] for name in ("status", "exit_code", "cause")}
    assert told == {"status": status, "exit_code": exit_code, "cause": cause.format(pid=script.process.pid)}
    words = {"Completed": "Completed", "Failed": "Failed", "Canceled": "Terminated"}
    assert [line["status"] for line in script.lines(names.PROCESS_STATUS)] == ["Started", words[status], words[status]]


def test_the_run_says_which_process_it_belongs_to_and_has_no_driver_log(begin: Begin) -> None:
    script = begin("run.complete(); sys.stdin.readline()")
    script.final_state()
    (info,) = script.lines(names.PROCESS_INFO)
    assert (info["pid_in_container"], info["log"]) == (script.process.pid, "")
    assert not list(script.run_dir().glob("azureml-logs/70*"))
    assert script.json(names.RUN_FILE)["kind"] == "interactive"
    said = "".join(path.read_text() for path in script.run_dir().glob("azureml-logs/55*"))
    assert f"The run belongs to process {script.process.pid}" in said


def test_complete_ends_the_run_and_not_its_process(begin: Begin) -> None:
    script = begin("run.complete(); print('completed', flush=True); sys.stdin.readline(); sys.exit(7)")
    script.wait_for_line("completed")
    assert script.final_state()["status"] == "Completed"
    assert script.process.poll() is None
    script.end()
    assert script.process.returncode == 7
    assert script.state()["status"] == "Completed"


def test_who_cancels_the_run_leaves_its_process_alone(begin: Begin) -> None:
    script = begin(
        "sys.stdin.readline(); run.log('x', 1); time.sleep(0.6); [run.log('x', n) for n in range(3)]; run.complete()"
    )
    script.wait_until_running()
    request_stop(str(script.run_dir()), signal.SIGTERM, 0.1, "somebody cancelled it")
    state = script.final_state()
    assert (state["status"], state["cause"]) == ("Canceled", "somebody cancelled it")
    assert script.process.poll() is None
    _, said = script.process.communicate("\n", timeout=30)
    assert script.process.returncode == 0
    assert said.count("what is recorded from now on is left out") == 1


def test_a_killed_shepherd_is_followed_by_another_one(begin: Begin) -> None:
    script = begin("sys.stdin.readline(); sys.exit(5)")
    script.wait_until_running()
    first = shepherd_pid(script.run_dir())
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: shepherd_pid(script.run_dir()) not in (0, first), "another shepherd")
    assert script.process.poll() is None
    script.end()
    assert script.final_state()["cause"] == "exit code 5"


def test_an_end_that_no_shepherd_saw_is_told_by_the_next_one(begin: Begin) -> None:
    script = begin("sys.stdin.readline(); raise KeyError('lost')")
    script.wait_until_running()
    script.kill_watchers()
    script.end()
    assert script.state()["status"] == "Running"
    launch.ensure_shepherd(str(script.run_dir()))
    assert script.final_state()["cause"] == "KeyError: 'lost'"
    launch.wait()


def test_the_machines_new_start_ends_a_run(begin: Begin) -> None:
    script = begin("sys.stdin.readline()")
    script.wait_until_running()
    script.kill_watchers()
    path = script.run_dir() / names.process_dir(0) / "started.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"boot_id": "of another boot"}))
    launch.ensure_shepherd(str(script.run_dir()))
    assert script.final_state()["cause"].endswith("ended without saying how its run ended: the machine was started again")
    launch.wait()


def test_a_forked_child_neither_ends_the_run_nor_tells_its_exit_code(begin: Begin) -> None:
    script = begin(
        "child = os.fork()\nif not child:\n    run.log('x', 1); run.complete(); sys.exit(9)\n"
        "os.waitpid(child, 0); print('waited', flush=True); sys.stdin.readline(); sys.exit(4)"
    )
    script.wait_for_line("waited")
    script.wait_until_running()
    assert script.json(f"{names.process_dir(0)}/{names.ATTACHED_WORD}") is None
    _, said = script.end()
    assert "only that one ends it" in said
    assert script.final_state()["exit_code"] == 4


def test_nothing_of_it_stays_behind(begin: Begin) -> None:
    script = begin("print(shepherd := 1, flush=True); sys.stdin.readline()")
    script.wait_until_running()
    pids = [*attach_pids(script.run_dir()), shepherd_pid(script.run_dir())]
    assert len(pids) == 2
    assert all(proctree.parent(pid) != script.process.pid for pid in attach_pids(script.run_dir()))
    script.end()
    wait_for(lambda: not any(map(is_alive, pids)), "the end of what looked after the run")
    assert not (script.run_dir() / names.ENVIRONMENT_FILE).exists()


def _started(pid: int = 0) -> dict[str, Any]:
    return {"pid": pid or 1 << 30, "start_ticks": proctree.start_ticks(pid) or 1, "boot_id": proctree.boot_id()}


def _leave(folder: Path, word: Any) -> None:
    (folder / names.ATTACHED_WORD).write_text(json.dumps(word))


STOP = {"reason": "asked"}


def test_what_the_process_said_goes_before_what_somebody_asked(tmp_path: Path) -> None:
    _leave(tmp_path, {"status": "Completed", "cause": "", "wall_ns": 1, "mono_ns": 2})
    end = ended(str(tmp_path), _started(os.getpid()), STOP)
    assert end == {"status": "Completed", "exit_code": 0, "signal": None, "cause": "", "wall_ns": 1, "mono_ns": 2}


def test_a_process_that_goes_on_has_not_ended(tmp_path: Path) -> None:
    _leave(tmp_path, {"is_exit": True, "exception": "", "is_interrupted": False, "is_status_told": True})
    assert ended(str(tmp_path), _started(os.getpid()), None) is None


@pytest.mark.parametrize(("exception", "status", "cause"), [("", "Completed", ""), ("OSError: x", "Failed", "OSError: x")])
def test_where_the_c_library_tells_no_exit_code_the_exceptions_count(
    tmp_path: Path, exception: str, status: str, cause: str
) -> None:
    _leave(tmp_path, {"is_exit": True, "exception": exception, "is_interrupted": False, "is_status_told": False})
    end = ended(str(tmp_path), _started(), None) or {}
    assert (end["status"], end["cause"]) == (status, cause)


def test_a_process_that_died_while_python_shut_down_did_not_end_well(tmp_path: Path) -> None:
    _leave(tmp_path, {"is_exit": True, "exception": "", "is_interrupted": False, "is_status_told": True})
    (tmp_path / names.ATTACHED_EXIT_STATUS).write_bytes(b"\x01\x02\x00")
    end = ended(str(tmp_path), _started(), None) or {}
    assert end["status"] == "Failed"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(), max_size=8), lambda inner: st.lists(inner, max_size=2)
)
WORDS = st.dictionaries(
    st.sampled_from(["status", "cause", "is_exit", "exception", "is_interrupted", "is_status_told", "wall_ns", "mono_ns"]),
    JSON | st.sampled_from(["Completed", "Failed", "Canceled", "Running"]),
)


@settings(max_examples=100, deadline=None)
@given(word=WORDS | JSON, status=st.none() | st.binary(max_size=3), stop=st.none() | st.just(STOP), is_there=st.booleans())
def test_whatever_lies_in_its_folder_a_run_has_one_end_or_none(
    tmp_path_factory: pytest.TempPathFactory, word: Any, status: bytes | None, stop: Any, is_there: bool
) -> None:
    folder = tmp_path_factory.getbasetemp() / "any"
    folder.mkdir(exist_ok=True)
    _leave(folder, word)
    (folder / names.ATTACHED_EXIT_STATUS).unlink(missing_ok=True)
    if status is not None:
        (folder / names.ATTACHED_EXIT_STATUS).write_bytes(status)
    end = ended(str(folder), _started(os.getpid() if is_there else 0), stop)
    has_said = isinstance(word, dict) and word.get("status") in ("Completed", "Failed", "Canceled")
    if end is None:
        assert is_there
        assert stop is None
        assert not has_said
    else:
        assert end["status"] == word["status"] if has_said else end["status"] in ("Completed", "Failed", "Canceled")
        assert all(0 < end[name] < 1 << 63 for name in ("wall_ns", "mono_ns"))
        assert "\0" not in end["cause"]
        end["cause"].encode()
