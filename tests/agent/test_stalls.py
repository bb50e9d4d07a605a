"""A rank that hangs has its stacks taken, without a change to its code; what is not asked for does not happen."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runyard import names
from runyard.agent.pace import Pace
from runyard.agent.progress import Reading
from runyard.agent.stacks import faulthandler_threads
from runyard.agent.stalls import Front, Seen, Stalls
from runyard.stacktext import STACKS_DIR, RankStacks, parse
from tests.agent.node_runs import NodeRun, is_alive
from tests.waiting import wait_for

# Of two ranks, one hangs in a lock, and in a child that it has forked, until the file "go" is there.
HANGING = """
import os, sys, threading, time

def wait_for_go():
    while not os.path.exists(sys.argv[1]):
        time.sleep(0.05)

def hang_in_a_lock():
    lock = threading.Lock()
    lock.acquire()
    threading.Thread(target=lambda: (wait_for_go(), lock.release()), name="releaser").start()
    lock.acquire()

def hang_in_a_worker():
    wait_for_go()
    os._exit(0)

if os.environ["RUNYARD_RANK"] == "1":
    if os.fork() == 0:
        hang_in_a_worker()
    hang_in_a_lock()
    os.wait()
else:
    while not os.path.exists(sys.argv[1]):
        print("step", int(time.time() * 10), flush=True)
        time.sleep(0.1)
"""


class Hanging:
    """A run of that program, with a time after which silence is a stall."""

    def __init__(self, folder: Path, *flags: str, program: str = HANGING, after: str = "1", path: str = "") -> None:
        self.script, self.go = folder / "train.py", folder / "go"
        self.script.write_text(program)
        command = (sys.executable, str(self.script), str(self.go))
        env = {"PATH": path} if path else {}
        self.run = NodeRun(folder / "spool", *command, flags=("--stall-after", after, *flags), env=env)
        self.process = self.run.launch()

    def stacks(self, rank: int) -> list[RankStacks]:
        """What was taken of a rank, oldest first."""
        files = sorted(self.run.run_dir.glob(f"{STACKS_DIR}/*/*-rank{rank}.txt"))
        return [one for one in (parse(file.read_text()) for file in files) if one is not None]

    def finish(self) -> int:
        self.go.touch()
        if self.process.returncode is None:
            self.process.communicate(timeout=60)
        return self.process.returncode


@pytest.fixture
def hanging(tmp_path: Path) -> Iterator[Callable[..., Hanging]]:
    """Makes such runs; they end with the test, however it went."""
    made: list[Hanging] = []

    def make(*flags: str, **options: str) -> Hanging:
        made.append(Hanging(tmp_path, *flags, **options))
        return made[-1]

    yield make
    for one in made:
        one.finish()


def path_without_pyspy() -> str:
    """The PATH, but for folders that have a py-spy."""
    folders = os.environ["PATH"].split(os.pathsep)
    return os.pathsep.join(folder for folder in folders if not Path(folder, "py-spy").exists())


def functions(one: RankStacks) -> list[list[str]]:
    """The functions in which each process's main thread is, innermost first."""
    return [[frame.partition(" ")[0] for frame in process.threads[0].frames] for process in one.processes]


def test_a_rank_that_hangs_tells_where_by_a_signal_and_so_do_the_others_and_its_forks(hanging: Callable[..., Hanging]) -> None:
    train = hanging("--nproc-per-node", "2", path=path_without_pyspy())
    hung = wait_for(lambda: train.stacks(1), "the stacks of the rank that hangs")[0]
    other = wait_for(lambda: train.stacks(0), "the stacks of the other rank")[0]
    assert functions(hung) == [["hang_in_a_lock", "<module>"], ["wait_for_go", "hang_in_a_worker", "<module>"]]
    assert {process.told_by for process in hung.processes} == {"faulthandler"}
    assert functions(other) == [["<module>"]]
    assert "rank 1 has written nothing for 1 s" in hung.reason
    log = train.run.path(names.SYSTEM_LOG).read_text()
    assert log.count("a stall: rank 1 has written nothing for 1 s") == 1
    ranks = {one["rank"]: one for one in train.run.json(names.PROGRESS_FILE)["ranks"]}
    assert (ranks[1]["is_stalled"], ranks[1]["stalls"], ranks[0]["is_stalled"]) == (True, 1, False)
    assert ranks[0]["step"] > 0
    assert train.finish() == 0
    assert len(train.stacks(1)) == 1, "one stall, one look"


def test_where_there_is_py_spy_no_signal_is_needed(hanging: Callable[..., Hanging]) -> None:
    folder = Path(sys.executable).parent  # it is among the packages that the tests take
    assert (folder / "py-spy").exists()
    train = hanging("--nproc-per-node", "2", path=f"{folder}{os.pathsep}{os.environ['PATH']}")
    hung = wait_for(lambda: train.stacks(1), "the stacks of the rank that hangs")[0]
    assert hung.processes[0].told_by == "py-spy"
    assert functions(hung) == [["hang_in_a_lock", "<module>"], ["wait_for_go", "hang_in_a_worker", "<module>"]]
    assert train.finish() == 0


def test_a_program_that_knows_no_such_signal_is_not_harmed(hanging: Callable[..., Hanging]) -> None:
    # A Python that has become a shell keeps its pid, and has caught nothing any more; the users' own signals are theirs.
    program = """
import os, signal, subprocess, sys, time
got = []
for number in (signal.SIGUSR1, signal.SIGUSR2):
    signal.signal(number, lambda number, frame: got.append(number))
shell = subprocess.Popen(["sh", "-c", 'while [ ! -e "$0" ]; do sleep 0.05; done', sys.argv[1]])
become = subprocess.Popen([sys.executable, "-c", "import os, sys; os.execvp('sh', ['sh', *sys.argv[1:]])", *shell.args[1:]])
codes = shell.wait(), become.wait()
sys.exit(0 if codes == (0, 0) and not got else 9)
"""
    train = hanging(program=program, path=path_without_pyspy())
    taken = wait_for(lambda: train.stacks(0), "the stacks")[0]
    assert [process.told_by for process in taken.processes[:3]] == ["faulthandler", *["it is no Python program"] * 2]
    assert train.finish() == 0


def test_a_driver_that_is_no_python_is_watched_and_not_harmed(tmp_path: Path) -> None:
    run = NodeRun(tmp_path / "spool", "sh", "-c", "echo step 3/9; sleep 2; exit 5", flags=("--stall-after", "0.5"))
    assert run.complete().returncode == 5
    (file,) = run.run_dir.glob(f"{STACKS_DIR}/*/*-rank0.txt")
    assert "it is no Python program" in file.read_text()
    (told,) = run.json(names.PROGRESS_FILE)["ranks"]
    assert (told["step"], told["total"], told["stalls"]) == (3, 9, 1)


def test_what_is_not_asked_for_does_not_happen(tmp_path: Path) -> None:
    run = NodeRun(tmp_path / "spool", "sh", "-c", 'sleep 1; echo "[$RUNYARD_STACKS_FILE]"')
    assert run.complete().stdout == b"[]\n"
    assert not run.path(names.WATCH_LOCK).exists()
    assert not run.path(names.PROGRESS_FILE).exists()
    assert not run.path(STACKS_DIR).exists()


def test_progress_alone_can_be_asked_for(tmp_path: Path) -> None:
    script = "for i in 1 2 3; do echo step $i/9; done; sleep 2"
    run = NodeRun(tmp_path / "spool", "sh", "-c", script, env={"RUNYARD_RUN__PROGRESS": "on"})
    assert run.complete().returncode == 0
    (told,) = run.json(names.PROGRESS_FILE)["ranks"]
    assert (told["step"], told["total"], told["is_stalled"]) == (3, 9, False)
    assert not run.path(STACKS_DIR).exists()


def test_kill_9_of_the_watch_costs_the_run_nothing_and_another_one_goes_on(hanging: Callable[..., Hanging]) -> None:
    train = hanging("--nproc-per-node", "2", path=path_without_pyspy())
    wait_for(lambda: train.stacks(0), "the first look")
    lock = train.run.path(names.WATCH_LOCK)
    first = lock.read_text()
    os.kill(int(first.split()[0]), signal.SIGKILL)
    second = int(wait_for(lambda: "" if (text := lock.read_text()) == first else text, "another watch").split()[0])
    assert is_alive(second)
    (before,) = {one["stalls"] for one in train.run.json(names.PROGRESS_FILE)["ranks"] if one["rank"] == 1}
    assert before >= 1, "what was known is known"
    assert train.finish() == 0
    wait_for(lambda: not is_alive(second), "it ends with the drivers")
    assert train.run.state()["status"] == "Completed"


def ranks_of(*numbers: int) -> list[Seen]:
    return [Seen(number, Pace(), 0.0, is_there=True) for number in numbers]


def test_each_stall_is_looked_at_once_and_again_after_progress() -> None:
    stalls, (one, two) = Stalls(10.0), (seen := ranks_of(0, 1))
    one.output_s = two.output_s = 100.0
    assert stalls.look(seen, 109.0) == ""
    two.output_s = 108.0
    assert "rank 0" in stalls.look(seen, 110.0)
    stalls.taken(110.5)
    assert stalls.look(seen, 111.0) == ""
    assert stalls.look(seen, 117.0) == ""
    assert (one.stalls, two.stalls) == (1, 0)
    one.output_s = 118.0
    assert stalls.look(seen, 118.0) != "", "rank 1 is silent by now, and was not when there was a look"
    assert (one.reason, two.stalls) == ("", 1)
    stalls.taken(118.5)
    assert "rank 0" in stalls.look(seen, 128.0)


def test_ranks_that_wait_for_the_one_that_hangs_need_no_second_look() -> None:
    stalls, (one, two) = Stalls(10.0), (seen := ranks_of(0, 1))
    one.output_s, two.output_s = 100.0, 101.0
    assert "rank 0" in stalls.look(seen, 110.0)
    stalls.taken(110.5)
    assert stalls.look(seen, 111.0) == "", "rank 1 had already been still for most of the time when all were looked at"
    assert two.stalls == 1


def test_a_rank_that_talks_and_falls_behind_has_stalled() -> None:
    stalls, (one, two) = Stalls(10.0), (seen := ranks_of(0, 1))
    reasons = []
    for second in range(100, 130):
        one.pace.see(Reading(step=second, total=1000), second)
        two.pace.see(Reading(step=min(second, 105), total=1000), second)
        one.output_s = two.output_s = float(second)
        reasons.append(stalls.look(seen, float(second)))
    told = [reason for reason in reasons if reason]
    assert len(told) == 1
    assert "rank 1 is at step 105" in told[0]
    assert one.stalls == 0


def test_a_rank_without_a_neighbour_falls_behind_those_of_other_nodes() -> None:
    stalls, (one,) = Stalls(10.0), (seen := ranks_of(0))
    reasons = []
    for second in range(100, 130):
        one.pace.see(Reading(step=min(second, 105), total=1000), second)
        one.output_s = float(second)
        reasons.append(stalls.look(seen, float(second), Front(second, 1000 if second < 125 else 50)))
    assert len([reason for reason in reasons if reason]) == 1
    assert one.reason == "", "what the others count now is something else"


def test_ranks_that_end_or_count_otherwise_have_not_stalled() -> None:
    stalls, (one, two) = Stalls(10.0), (seen := ranks_of(0, 1))
    one.is_there = False
    for second in range(100, 130):
        two.output_s = float(second)
        two.pace.see(Reading(step=second % 7, total=7), second)
        one.pace.see(Reading(step=900, total=1000), second)
        assert stalls.look(seen, float(second)) == ""


def test_what_faulthandler_writes_is_read_with_the_main_thread_first() -> None:
    text = (
        "Current thread 0x00007f11 (most recent call first):\n"
        '  File "/a b/x.py", line 4 in hang\n  File "/y.py", line 9 in run\n\n'
        'Thread 0x00007f12 [MainThread] (most recent call first):\n  File "<string>", line ??? in <module>\nrubbish\n'
    )
    main, other = faulthandler_threads(text)
    assert (main.name, main.frames) == ("MainThread", ("<module> (<string>:???)",))
    assert other.frames == ("hang (/a b/x.py:4)", "run (/y.py:9)")
