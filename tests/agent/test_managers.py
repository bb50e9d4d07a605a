"""Context managers around a driver: entered in order, left in reverse, whatever happens in between."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from runyard import names
from runyard.agent.stop import request_stop
from tests.agent.phased_runs import PhasedRun, is_there, probe, script
from tests.waiting import wait_for

CODE = 'code = "code"\n'


# A manager that does what well-behaved ones do not.
HARD = """
import collections, itertools, os, sys, time
from probe import Probe

class Own(BaseException):
    pass

class Hard(Probe):
    def act(self, what):
        if what == "clutch":
            collections.deque(itertools.repeat(0), maxlen=0)
        if what == "exit":
            sys.exit(3)
        if what == "base":
            raise Own
        if what == "half":
            self.state["token"] = "half"
            time.sleep(3600)
        if what == "unfit":
            self.state["others"] = {1}
            return
        super().act(what)

class Planned(Hard):
    def __init__(self, job, **options):
        super().__init__(job, **options)
        self.state["token"] = f"planned-{os.getpid()}"
"""


def probes(folder: Path, *lines: str) -> str:
    code = folder / "code"
    code.mkdir(exist_ok=True)
    (code / "hard.py").write_text(HARD)
    return CODE + "".join(lines)


def hard(name: str, journal: Path, *, kind: str = "Hard", timeout: str = "10s", **options: str) -> str:
    return probe(name, journal, timeout=timeout, **options).replace("probe:Probe", f"hard:{kind}")


def test_managers_are_entered_in_order_and_left_in_reverse(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    spec = probes(tmp_path, probe("a", journal), probe("b", journal))
    run = PhasedRun(tmp_path, spec, *script(f"echo driver - - >> {journal}"))
    assert run.complete().returncode == 0
    assert run.told() == ["enter a -", "enter b -", "driver - -", "leave b token-of-b", "leave a token-of-a"]
    assert "enter a" in run.text("65")
    assert "leave a" in run.text("75")
    assert run.leftovers() == []


def test_one_that_cannot_be_entered_undoes_those_before_and_fails_the_run(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    spec = probes(tmp_path, probe("a", journal), probe("b", journal, at_enter="fail"), probe("c", journal))
    run = PhasedRun(tmp_path, spec, *script(f"echo driver - - >> {journal}"))
    done = run.complete()
    assert done.returncode == 1
    assert b"the context manager probe:Probe cannot be entered: ValueError: b cannot" in done.stderr
    assert run.told() == ["enter a -", "enter b -", "leave a token-of-a"]
    state = run.state()
    assert (state["status"], state["failure"]["phase"]) == ("Failed", "preparation")
    place = state["failure"]
    said = run.path(place["log"]).read_bytes()[place["start"] : place["end"]]
    assert b"b cannot" in said
    assert "Traceback" in run.text("65")
    assert "Job release is complete" in run.text("75")


@pytest.mark.parametrize("how", ["hang", "stuck", "clutch"])
def test_one_that_hangs_on_the_way_in_is_ended_at_its_time_limit_and_left(tmp_path: Path, how: str) -> None:
    journal = tmp_path / "journal"
    spec = probes(tmp_path, probe("a", journal), hard("b", journal, at_enter=how, timeout="1s"))
    run = PhasedRun(tmp_path, spec, *script("echo never"))
    done = run.complete()
    assert done.returncode == 1
    assert b"the context manager hard:Hard" in done.stderr
    assert b"not entered within" in done.stderr
    assert run.told() == ["enter a -", "enter b -", "leave b -", "leave a token-of-a"]
    assert run.state()["failure"]["phase"] == "preparation"
    assert not run.path(names.driver_log(0, 1)).exists()
    assert run.leftovers() == []


def test_where_one_hung_that_does_not_let_go_is_told_in_the_log(tmp_path: Path) -> None:
    spec = probes(tmp_path, hard("a", tmp_path / "journal", at_enter="clutch", timeout="0.5s"))
    run = PhasedRun(tmp_path, spec, *script("echo never"))
    run.complete()
    assert 'hard.py", line' in run.text("65")
    assert run.told() == ["enter a -", "leave a -"]


def test_one_that_lets_go_neither_on_the_way_in_nor_out_fails_the_run_all_the_same(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    both = hard("b", journal, at_enter="clutch", at_leave="clutch", timeout="0.5s")
    run = PhasedRun(tmp_path, probes(tmp_path, probe("a", journal), both), *script("echo never"))
    done = run.complete()
    assert b"hangs: it was not entered within 0.5 s" in done.stderr
    assert run.told() == ["enter a -", "enter b -", "leave b -", "leave a token-of-a"]
    assert run.state()["status"] == "Failed"


@pytest.mark.parametrize("how", ["fail", "hang", "stuck", "clutch", "exit", "base"])
def test_one_that_cannot_be_left_stops_no_other_and_is_the_runs_cause(tmp_path: Path, how: str) -> None:
    journal = tmp_path / "journal"
    spec = probes(tmp_path, probe("a", journal), hard("b", journal, at_leave=how, timeout="1s"), probe("c", journal))
    run = PhasedRun(tmp_path, spec, *script("echo done"))
    done = run.complete()
    assert run.told()[-3:] == ["leave c token-of-c", "leave b token-of-b", "leave a token-of-a"]
    assert done.stdout == b"done\n"
    assert done.returncode == 1
    state = run.state()
    assert (state["status"], state["failure"]["phase"]) == ("Failed", "release")
    assert "hard:Hard" in state["failure"]["cause"]
    assert run.leftovers() == []


@pytest.mark.parametrize(("how", "words"), [("exit", "SystemExit: 3"), ("base", "Own")])
def test_one_that_leaves_python_by_another_way_fails_the_run_with_that_cause(tmp_path: Path, how: str, words: str) -> None:
    journal = tmp_path / "journal"
    spec = probes(tmp_path, probe("a", journal), hard("b", journal, at_enter=how))
    run = PhasedRun(tmp_path, spec, *script("echo never"))
    assert f"the context manager hard:Hard cannot be entered: {words}" in run.complete().stderr.decode()
    assert run.told() == ["enter a -", "enter b -", "leave a token-of-a"]


def test_one_whose_state_cannot_be_kept_is_left_and_fails_the_run(tmp_path: Path) -> None:
    run = PhasedRun(tmp_path, probes(tmp_path, hard("a", tmp_path / "journal", at_enter="unfit")), *script("echo never"))
    assert b"hard:Hard cannot be entered: its state is not fit for JSON" in run.complete().stderr
    assert run.told()[:2] == ["enter a -", "leave a token-of-a"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_cancel_leaves_the_very_object_that_was_being_entered(tmp_path: Path, number: int) -> None:
    journal = tmp_path / "journal"
    spec = probes(tmp_path, probe("a", journal), hard("b", journal, at_enter="half"))
    run = PhasedRun(tmp_path, spec, *script("echo never"), env={"RUNYARD_RUN__GRACE_S": "20"})
    run.begin()
    wait_for(lambda: run.told() == ["enter a -", "enter b -"], "the second manager's entering")
    request_stop(str(run.run_dir), number, 20.0, "asked by a test")
    assert run.finish()["status"] == "Canceled"
    assert run.told() == ["enter a -", "enter b -", "leave b half", "leave a token-of-a"]


def test_a_cancel_while_managers_are_left_waits_for_them(tmp_path: Path) -> None:
    journal, go = tmp_path / "journal", tmp_path / "go"
    first = probe("a", journal, at_leave="wait", until=str(go))
    spec = probes(tmp_path, first, hard("b", journal, at_enter="fail"))
    run = PhasedRun(tmp_path, spec, *script("echo never"), env={"RUNYARD_RUN__GRACE_S": "20"})
    run.begin()
    wait_for(lambda: "leave a token-of-a" in run.told(), "the leaving")
    request_stop(str(run.run_dir), signal.SIGTERM, 20.0, "asked by a test")
    wait_for(lambda: run.state()["status"] == "CancelRequested", "the stop")
    go.touch()
    assert run.finish()["status"] == "Canceled"
    assert run.told() == ["enter a -", "enter b -", "leave a token-of-a"]


def test_what_a_manager_plans_in_its_constructor_is_known_after_its_process_died_over_entering_it(tmp_path: Path) -> None:
    journal, go = tmp_path / "journal", tmp_path / "go"
    run = PhasedRun(
        tmp_path, probes(tmp_path, hard("a", journal, kind="Planned", at_enter="wait", until=str(go))), *script("true")
    )
    run.begin()
    wait_for(run.told, "the entering")
    os.kill(run.phase_pids("preparation")[0], signal.SIGKILL)
    go.touch()
    assert run.finish()["status"] == "Completed"
    planned = run.told()[0].split()[-1]
    assert run.told()[1] == f"leave a {planned}"
    assert run.told()[2] != f"enter a {planned}"


@pytest.mark.parametrize(("ending", "status"), [("exit 3", "Failed"), ("kill -9 $$", "Failed")])
def test_managers_are_left_after_a_driver_that_failed(tmp_path: Path, ending: str, status: str) -> None:
    run = PhasedRun(tmp_path, probes(tmp_path, probe("a", tmp_path / "journal")), *script(ending))
    run.complete()
    assert run.told() == ["enter a -", "leave a token-of-a"]
    assert run.state()["status"] == status
    assert run.state()["failure"]["phase"] == "driver"


def test_managers_whose_process_was_killed_are_left_by_another_with_the_state_that_they_had(tmp_path: Path) -> None:
    journal, go = tmp_path / "journal", tmp_path / "go"
    run = PhasedRun(tmp_path, probes(tmp_path, probe("a", journal), probe("b", journal)), *script(is_there(go)))
    run.start()
    for pid in run.phase_pids("preparation"):
        os.kill(pid, signal.SIGKILL)
    go.touch()
    assert run.finish()["status"] == "Completed"
    assert run.told() == ["enter a -", "enter b -", "leave b token-of-b", "leave a token-of-a"]


def test_a_process_that_dies_over_entering_is_taken_up_again_after_what_it_entered_is_undone(tmp_path: Path) -> None:
    journal, go = tmp_path / "journal", tmp_path / "go"
    spec = probes(tmp_path, probe("a", journal), probe("b", journal, at_enter="wait", until=str(go)))
    run = PhasedRun(tmp_path, spec, *script("echo ran"))
    run.begin()
    wait_for(lambda: run.told() == ["enter a -", "enter b -"], "the second manager's entering")
    os.kill(run.phase_pids("preparation")[0], signal.SIGKILL)
    go.touch()
    assert run.finish()["status"] == "Completed"
    assert run.told() == [
        *("enter a -", "enter b -"),
        *("leave b -", "leave a token-of-a"),
        *("enter a -", "enter b -"),
        *("leave b token-of-b", "leave a token-of-a"),
    ]


@pytest.mark.parametrize(
    ("use", "words"),
    [
        ("no_such", "there is no such context manager"),
        ("nowhere:Thing", "the module 'nowhere' cannot be found"),
        ("probe:Nothing", "has no 'Nothing'"),
    ],
)
def test_a_manager_that_is_not_there_is_told_in_one_sentence(tmp_path: Path, use: str, words: str) -> None:
    run = PhasedRun(tmp_path, CODE + f'[[context_managers]]\nuse = "{use}"\n', *script("echo never"))
    done = run.complete()
    assert done.returncode != 0
    assert words in done.stderr.decode()
    assert b"Traceback" not in done.stderr


def test_a_package_offers_its_managers_by_entry_points(tmp_path: Path) -> None:
    package = tmp_path / "code" / "plugged-1.0.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: plugged\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[runyard.context_managers]\nplugged = probe:Probe\n")
    spec = CODE + probe("a", tmp_path / "journal").replace("probe:Probe", "plugged")
    run = PhasedRun(tmp_path, spec, "true")
    assert run.complete().returncode == 0
    assert run.told() == ["enter a -", "leave a token-of-a"]
