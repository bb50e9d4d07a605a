"""Interactive runs as their users know them: a notebook or a script begins a run of itself; all of it is at the collector."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from runyard import names
from runyard.agent import proctree
from runyard.errors import CollectorRefused
from tests.collector_process import CollectorProcess, running_collector
from tests.interactive_script import ALONE, WITH_COLLECTOR, Script, attach_pids, shepherd_pid
from tests.waiting import wait_for

Begin = Callable[..., Script]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CollectorProcess]:
    """The collector of all tests here but those that stop it."""
    with running_collector(tmp_path_factory.mktemp("shared")) as process:
        yield process


@pytest.fixture
def begin(tmp_path: Path, shared: CollectorProcess) -> Iterator[Begin]:
    """Starts a script that makes a run of itself, of which the collector is told, and then does what it is told."""
    scripts: list[Script] = []

    def start(
        rest: str,
        code: str = WITH_COLLECTOR,
        *flags: str,
        collector: CollectorProcess = shared,
        within: Sequence[str] = (),
        **env: str,
    ) -> Script:
        run_id = env.pop("run_id", f"r{os.urandom(4).hex()}")
        program = code + rest if code else ""
        scripts.append(Script(tmp_path, program, *flags, collector=collector, run_id=run_id, env=env, within=within))
        return scripts[-1]

    yield start
    for script in scripts:
        script.close()


def run_of(collector: CollectorProcess, run_id: str) -> dict[str, Any]:
    """The run as the collector has it; empty where it has none."""
    try:
        found: dict[str, Any] = collector.client().json("GET", f"/runs/{run_id}")
    except CollectorRefused:
        return {}
    return found


def complete_run(collector: CollectorProcess, run_id: str) -> dict[str, Any]:
    """Wait until the run is complete at the collector."""

    def found() -> dict[str, Any]:
        run = run_of(collector, run_id)
        return run if run.get("is_complete") else {}

    return wait_for(found, f"run {run_id} to be complete")


def counts(collector: CollectorProcess, run_id: str) -> dict[str, int]:
    """How many values of each metric the collector has."""
    found = collector.client().json("GET", f"/runs/{run_id}/metrics")["metrics"]
    return {metric["name"]: metric["count"] for metric in found}


def verdict_on(collector: CollectorProcess, run_id: str) -> str:
    """The sentence of the verdict."""
    return str(collector.client().json("GET", f"/runs/{run_id}/verdict")["sentence"])


@pytest.mark.row("B6")
def test_what_was_logged_before_a_kill_is_at_the_collector(begin: Begin, shared: CollectorProcess) -> None:
    script = begin("for n in range(10_000): run.log('loss', n)\nos.kill(os.getpid(), signal.SIGKILL)")
    script.end()
    run = complete_run(shared, script.run_id)
    assert (run["status"], run["cause"]) == (
        "Failed",
        f"process {script.process.pid} ended without saying how its run ended",
    )
    assert verdict_on(shared, script.run_id).startswith("the process was killed, or left without a word")
    wait_for(lambda: counts(shared, script.run_id).get("loss") == 10_000, "all values")
    values = shared.client().json(
        "GET", f"/runs/{script.run_id}/metrics/values", params={"name": "loss", "from": 0, "limit": 20_000}
    )
    assert [point["value"] for point in values["points"]] == list(range(10_000))


def test_the_collector_knows_what_kind_of_run_it_is(begin: Begin, shared: CollectorProcess, tmp_path: Path) -> None:
    script = begin("run.log('a', 1); run.tag('k', 'v'); run.complete(); print('completed', flush=True); sys.stdin.readline()")
    script.wait_for_line("completed")
    run = run_of(shared, script.run_id)  # complete has waited
    assert (run["status"], run["is_complete"], run["kind"], run["experiment"]) == ("Completed", True, "interactive", "e")
    assert counts(shared, script.run_id) == {"a": 1}
    verified = script.runyard("verify", script.run_id)
    assert verified.returncode == 0, verified.stderr
    shown = script.runyard("logs", script.run_id)
    assert (shown.returncode, "interactive" in shown.stderr) == (2, True), shown
    assert script.runyard("logs", script.run_id, "--file", names.SYSTEM_LOG).returncode == 0
    assert script.runyard("download", script.run_id, "--to", str(tmp_path / "got")).returncode == 0


def test_an_exception_is_the_verdict_on_its_run(begin: Begin, shared: CollectorProcess) -> None:
    script = begin("run.log('a', 1)\nraise ValueError('bad thing')")
    _, said = script.end()
    assert "ValueError: bad thing" in said
    run = complete_run(shared, script.run_id)
    assert (run["status"], run["cause"], run["exit_code"]) == ("Failed", "ValueError: bad thing", 1)
    assert "bad thing" in verdict_on(shared, script.run_id)


def test_a_with_block_ends_the_run_and_the_process_goes_on(begin: Begin, shared: CollectorProcess) -> None:
    script = begin(
        "try:\n    with run:\n        run.log('a', 1); 1 / 0\nexcept ZeroDivisionError: print('caught', flush=True)\n"
        "with experiment.start_logging(run_id=run.id + '.2') as run: run.log('b', 2)\n"
    )
    script.wait_for_line("caught")
    script.end()
    assert script.process.returncode == 0
    first, second = complete_run(shared, script.run_id), complete_run(shared, script.run_id + ".2")
    assert (first["status"], first["cause"]) == ("Failed", "ZeroDivisionError: division by zero")
    assert (second["status"], counts(shared, script.run_id + ".2")) == ("Completed", {"b": 1})


@pytest.mark.parametrize(
    ("code", "status", "cause"),
    [("", "Completed", ""), ("0", "Completed", ""), ("3", "Failed", "exit code 3"), ("'no'", "Failed", "no")],
)
def test_a_with_block_that_leaves_the_program_ends_as_the_program_does(
    begin: Begin, shared: CollectorProcess, code: str, status: str, cause: str
) -> None:
    script = begin(f"with run:\n    sys.exit({code})\n")
    script.end()
    run = complete_run(shared, script.run_id)
    assert (run["status"], run["cause"]) == (status, cause)


def test_several_runs_of_one_process_are_told_apart(begin: Begin, shared: CollectorProcess) -> None:
    script = begin(
        "other = experiment.start_logging(run_id=run.id + '.2', name='the other one', tags={'a': 'b'})\n"
        "run.log('x', 1); other.log('y', 2); other.log('y', 3); other.fail('no luck \\ud800\\0', 'E7')\n"
        "run.log('x', 2); sys.exit(0)"
    )
    script.end()
    run, other = complete_run(shared, script.run_id), complete_run(shared, script.run_id + ".2")
    assert (run["status"], other["status"], other["cause"]) == ("Completed", "Failed", "E7: no luck ?")
    assert (other["name"], other["tags"]) == ("the other one", {"a": "b"})
    assert (counts(shared, script.run_id), counts(shared, script.run_id + ".2")) == ({"x": 2}, {"y": 2})


def test_a_notebook_goes_on_after_an_exception_and_so_does_its_run(begin: Begin, shared: CollectorProcess) -> None:
    script = begin("", "", "-i")  # a REPL that reads its cells from a pipe
    assert script.process.stdin is not None

    def cell(text: str) -> None:
        script.process.stdin.write(text + "\n")  # type: ignore[union-attr]
        script.process.stdin.flush()  # type: ignore[union-attr]

    for line in WITH_COLLECTOR.strip().splitlines():
        cell(line)
    script.wait_for_line("begun")
    cell("run.log('a', 1)")
    cell("1 / 0")
    cell("run.log('a', 2); print('still here', flush=True)")
    script.wait_for_line("still here")
    script.wait_until_running()
    _, said = script.end()  # the end of its input
    assert "ZeroDivisionError" in said
    assert complete_run(shared, script.run_id)["status"] == "Completed"
    assert counts(shared, script.run_id) == {"a": 2}


def test_a_cancel_ends_the_run_and_leaves_the_process(begin: Begin, shared: CollectorProcess) -> None:
    script = begin(
        "run.log('a', 1)\nwhile run.get_status() != 'Canceled': time.sleep(0.05)\n"
        "print('canceled', flush=True); sys.stdin.readline()\n"
        "for n in range(3): run.log('late', n)\nprint('told', flush=True); sys.stdin.readline(); run.complete()"
    )
    script.wait_until_running()
    assert script.runyard("cancel", script.run_id).returncode == 0
    script.wait_for_line("canceled")
    script.final_state()  # this machine knows it, too
    script.process.stdin.write("\n")  # type: ignore[union-attr]
    script.process.stdin.flush()  # type: ignore[union-attr]
    script.wait_for_line("told")
    assert script.process.poll() is None
    _, said = script.end()
    assert said.count(f"run {script.run_id} has ended (Canceled): what is recorded from now on is left out") == 1
    assert complete_run(shared, script.run_id)["status"] == "Canceled"
    assert counts(shared, script.run_id) == {"a": 1}


def test_children_end_with_their_run(begin: Begin, shared: CollectorProcess) -> None:
    script = begin(
        "child = run.child_run('c', run.id + '_1'); child.log('deep', 1); child.complete()\n"
        "left_open = run.child_run('d', run.id + '_2')"
    )
    script.end()
    complete_run(shared, script.run_id)
    wait_for(lambda: run_of(shared, script.run_id + "_2").get("status") == "Completed", "the child's end")
    assert run_of(shared, script.run_id + "_1")["status"] == "Completed"
    assert counts(shared, script.run_id + "_1") == {"deep": 1}


def test_a_collector_that_is_away_holds_nobody_up_and_gets_all_later(begin: Begin, collector: CollectorProcess) -> None:
    collector.stop()
    begun_s = time.monotonic()
    script = begin("for n in range(100): run.log('a', n)\nrun.complete(); print('completed', flush=True)", collector=collector)
    _, said = script.end()
    assert time.monotonic() - begun_s < 20
    assert "is sent when the collector is there" in said
    assert script.final_state()["status"] == "Completed"
    collector.start()
    assert complete_run(collector, script.run_id)["status"] == "Completed"
    wait_for(lambda: counts(collector, script.run_id).get("a") == 100, "all values")


def test_what_a_killed_sender_has_left_is_adopted(begin: Begin, shared: CollectorProcess) -> None:
    script = begin("print(sys.stdin.readline(), flush=True)\nfor n in range(50): run.log('a', n)\nraise OSError('late')")
    script.wait_until_running()
    for pid in (*attach_pids(script.run_dir()), shepherd_pid(script.run_dir())):
        os.kill(pid, signal.SIGKILL)
    watch = subprocess.Popen([sys.executable, "-m", "runyard", "ship", "--watch"], env=script.env, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: shepherd_pid(script.run_dir()), "another shepherd")
        script.end()
        assert complete_run(shared, script.run_id)["cause"] == "OSError: late"
        wait_for(lambda: counts(shared, script.run_id).get("a") == 50, "all values")
    finally:
        watch.terminate()
        watch.wait()


def test_without_a_collector_the_run_stays_in_the_spool_until_it_is_sent(begin: Begin, shared: CollectorProcess) -> None:
    script = begin("run.log('a', 1); run.complete()", ALONE)
    _, said = script.end()
    assert "no collector is configured" in said
    assert "`runyard ship` sends it" in said
    script.final_state()
    wait_for(lambda: not attach_pids(script.run_dir()), "its end")
    assert run_of(shared, script.run_id) == {}
    assert script.runyard("ship").returncode == 0
    assert complete_run(shared, script.run_id)["status"] == "Completed"
    wait_for(lambda: counts(shared, script.run_id) == {"a": 1}, "its metric")


def test_a_run_that_the_collector_refuses_does_not_take_place(begin: Begin, shared: CollectorProcess, tmp_path: Path) -> None:
    script = begin("run.complete()")
    script.end()
    complete_run(shared, script.run_id)
    elsewhere = tmp_path / "another spool"
    refused = begin("", run_id=script.run_id, RUNYARD_SPOOL__DIR=str(elsewhere))
    _, said = refused.end()
    assert refused.process.returncode == 1
    assert f"InputError: there is another run {script.run_id!r}" in said
    assert not (elsewhere / script.run_id).exists()


def test_neither_token_is_in_an_argument_list(begin: Begin, shared: CollectorProcess) -> None:
    script = begin("sys.stdin.readline()")
    script.wait_until_running()
    token = script.json(names.RUN_FILE)["run_token"]
    for pid in (*attach_pids(script.run_dir()), shepherd_pid(script.run_dir())):
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
        assert shared.token.encode() not in words
        assert token.encode() not in words
    assert not proctree.with_argument(shared.token)


def test_a_folder_is_kept_as_it_is_at_the_start(begin: Begin, shared: CollectorProcess, tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "train.py").write_text("print(1)\n")
    code = WITH_COLLECTOR.replace('run_id=os.environ["RUN"]', 'run_id=os.environ["RUN"], snapshot_directory="code"')
    script = begin("run.complete()", code, RUNYARD_ENVIRONMENT__CACHE_DIR=str(tmp_path / "cache"))
    script.end()
    complete_run(shared, script.run_id)
    snapshot = script.json(names.RUN_FILE)["snapshot"]["id"]
    wait_for(lambda: run_of(shared, script.run_id)["properties"] == {"ContentSnapshotId": snapshot}, "the property")
    assert (tmp_path / "cache" / "snapshots" / f"{snapshot}.tar").exists()
    with shared.client().stream("GET", f"/snapshots/{snapshot}") as response:
        assert b"train.py" in response.read()


def test_a_folder_of_outputs_is_the_runs(begin: Begin, shared: CollectorProcess, tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    code = WITH_COLLECTOR.replace('run_id=os.environ["RUN"]', 'run_id=os.environ["RUN"], outputs="results"')
    script = begin("open('results/model.bin', 'wb').write(b'abc')", code)
    _, said = script.end()
    complete_run(shared, script.run_id)
    found = shared.client().json("GET", f"/runs/{script.run_id}/artifacts", params={"path": "outputs"})
    assert "outputs/model.bin" in str(found), said


def test_an_output_that_cannot_be_kept_does_not_keep_the_run_from_its_end(
    begin: Begin, shared: CollectorProcess, tmp_path: Path
) -> None:
    (tmp_path / "results").mkdir()
    code = WITH_COLLECTOR.replace('run_id=os.environ["RUN"]', 'run_id=os.environ["RUN"], outputs="results"')
    rest = (
        "open('results/a\\nb', 'wb').close()\nopen('results/z', 'wb').close()\nrun.complete()\n"
        "print('completed', flush=True)\nsys.stdin.readline()"
    )
    script = begin(rest, code)
    script.wait_for_line("completed")
    run = complete_run(shared, script.run_id)
    assert run["status"] == "Completed"
    assert "outputs/z" in str(shared.client().json("GET", f"/runs/{script.run_id}/artifacts", params={"path": "outputs"}))


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="needs root, for a PID namespace")
@pytest.mark.parametrize(
    ("rest", "status", "cause"), [("run.complete()", "Completed", ""), ("raise OSError('x')", "Failed", "OSError: x")]
)
def test_a_container_may_end_with_the_process(
    begin: Begin, shared: CollectorProcess, rest: str, status: str, cause: str
) -> None:
    within = ("unshare", "--pid", "--fork", "--mount-proc")
    script = begin(f"for n in range(1000): run.log('a', n)\n{rest}", within=within)
    script.end()  # and with it whatever looked after the run
    run = run_of(shared, script.run_id)
    assert (run["status"], run["cause"], run["is_complete"]) == (status, cause, True)
    assert counts(shared, script.run_id) == {"a": 1000}
