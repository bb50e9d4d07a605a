"""Recording: what run.log has returned is in the kernel, whole, whatever the process, its threads and its disk do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runyard.sdk import recording
from runyard.tracking.records import Status, Warned, decoder
from tests.waiting import wait_for

from .recorded import Job, records_of, values_of


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


@pytest.fixture
def small_job(tmp_path: Path) -> Iterator[Job]:
    """A job whose disk has room for 16 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m,mode=0700", "tmpfs", str(disk)], check=True)
    yield Job(disk)
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_what_has_returned_is_there_after_a_kill(job: Job) -> None:
    killed = job.script(
        "import os, signal\nfrom runyard import Run\nrun = Run.get_context()\n"
        "for number in range(10_000): run.log('loss', number)\nos.kill(os.getpid(), signal.SIGKILL)"
    )
    assert killed.returncode == -9
    assert values_of(job.records(), "loss") == list(range(10_000))


def test_threads_and_signal_handlers_write_whole_lines(job: Job) -> None:
    done = job.script(
        "import itertools, signal, threading\nfrom runyard import Run\nrun = Run.get_context()\n"
        "ticks = itertools.count()\n"
        "def tick(*_): run.log('tick', next(ticks))\n"
        "signal.signal(signal.SIGALRM, tick)\nsignal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)\n"
        "def log(name):\n    for number in range(3000): run.log(name, number)\n"
        "threads = [threading.Thread(target=log, args=(f't{n}',)) for n in range(4)]\n"
        "[t.start() for t in threads]\nlog('main')\n[t.join() for t in threads]\n"
        "signal.setitimer(signal.ITIMER_REAL, 0)\nprint(next(ticks))"
    )
    assert done.returncode == 0, done.stderr
    found = job.records()
    for name in ("main", "t0", "t1", "t2", "t3"):
        assert values_of(found, name) == list(range(3000))
    assert int(done.stdout) > 10
    assert sorted(values_of(found, "tick")) == list(range(int(done.stdout)))


def test_each_process_has_a_journal_of_its_own(job: Job) -> None:
    done = job.script(
        "import multiprocessing, os\nfrom runyard import Run\nrun = Run.get_context()\nrun.log('who', 'parent')\n"
        "def work(n):\n    assert Run.get_context() is run\n    run.log('who', f'child {n}')\n"
        "fork = multiprocessing.get_context('fork')\n"
        "children = [fork.Process(target=work, args=(n,)) for n in range(2)]\n"
        "[c.start() for c in children]\n[c.join() for c in children]\nrun.log('who', 'parent again')"
    )
    assert done.returncode == 0, done.stderr
    journals = sorted(values_of(journal, "who") for journal in job.journals())
    assert journals == [["child 0"], ["child 1"], ["parent", "parent again"]]


def test_a_process_that_is_forked_while_a_thread_logs_can_log(job: Job) -> None:
    done = job.script(
        "import os, threading\nfrom runyard import Run\nrun = Run.get_context()\nstop = threading.Event()\n"
        "def log():\n    while not stop.is_set(): run.log('busy', 1)\n"
        "thread = threading.Thread(target=log)\nthread.start()\n"
        "for number in range(50):\n"
        "    pid = os.fork()\n"
        "    if not pid:\n        run.log('child', number)\n        os._exit(0)\n"
        "    assert os.waitpid(pid, 0)[1] == 0\n"
        "stop.set()\nthread.join()"
    )
    assert done.returncode == 0, done.stderr
    assert sorted(values_of(job.records(), "child")) == list(range(50))


def test_a_program_that_closes_all_descriptors_goes_on_logging_and_its_own_files_stay_its_own(job: Job) -> None:
    done = job.script(
        "import os, tempfile\nfrom runyard import Run\nrun = Run.get_context()\nrun.log('a', 1)\nos.closerange(3, 1000)\n"
        "own = [tempfile.TemporaryFile() for _ in range(20)]\nrun.log('a', 2)\nrun.log('a', 3)\n"
        "assert all(os.fstat(file.fileno()).st_size == 0 for file in own)"
    )
    assert done.returncode == 0, done.stderr
    assert values_of(job.records(), "a") == [1, 2, 3]
    assert len(job.journals()) == 1


def test_what_is_logged_at_exit_is_kept(job: Job) -> None:
    job.script("import atexit\nfrom runyard import Run\nrun = Run.get_context()\natexit.register(lambda: run.log('last', 1))")
    assert values_of(job.records(), "last") == [1]


FULL = """
import os, sys
from pathlib import Path
from runyard import Run

run = Run.get_context()
run.log("before", 1)
ballast = open(Path(os.environ["RUNYARD_TRACKING_DIR"]).parent / "ballast", "wb", buffering=0)
try:
    while True:
        ballast.write(bytes(1 << 16))
except OSError:
    pass
for number in range(int(sys.argv[1])):
    run.log("loss", number, step=number)
    if len(sys.argv) > 3:
        run.log("note", str(number).ljust(60_000))
ballast.truncate(0)
if sys.argv[2] == "exit":
    sys.exit(0)
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.needs_system("mount")
@pytest.mark.skipif(os.getuid() != 0, reason="only root may mount")
def test_a_full_disk_is_waited_for_and_nothing_is_lost(small_job: Job) -> None:
    done = small_job.script(FULL, "1000", "exit")
    assert done.returncode == 0, done.stderr
    assert values_of(small_job.records(), "loss") == list(range(1000))
    told = [line for line in done.stderr.splitlines() if line.startswith("runyard:")]
    assert len(told) == 1
    assert "records cannot be written to the node's disk now (" in told[0]


@pytest.mark.needs_system("mount")
@pytest.mark.skipif(os.getuid() != 0, reason="only root may mount")
def test_a_metric_in_a_file_that_no_disk_has_room_for_ends_no_training(small_job: Job) -> None:
    log = (
        "run.log_residuals('res', {'schema_type': 'residuals', 'schema_version': '1.0.0',"
        " 'data': {'bin_edges': [0] * 40_000, 'bin_counts': [0] * 40_000}})\n"
    )
    done = small_job.script(FULL.replace("ballast.truncate(0)", f"{log}ballast.truncate(0)"), "1", "exit")
    assert done.returncode == 0, done.stderr
    assert "runyard: metric 'res' is not recorded: " in done.stderr
    assert values_of(small_job.records(), "loss") == [0]


@pytest.mark.needs_system("mount")
@pytest.mark.skipif(os.getuid() != 0, reason="only root may mount")
def test_what_waits_for_room_is_written_though_nothing_more_is_logged(small_job: Job) -> None:
    argv = [sys.executable, "-c", FULL, "1000", "stay"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(argv, env=small_job.env, **pipes) as process:  # type: ignore[call-overload]
        assert process.stdout.readline() == b"ready\n"
        [journal] = small_job.tracking_dir.glob("*.jsonl")
        wait_for(lambda: b",999,999," in journal.read_bytes(), "the records")
        wait_for(lambda: journal.read_bytes().endswith(b"\n"), "whole lines")
        assert values_of(records_of(journal), "loss") == list(range(1000))


@pytest.mark.needs_system("mount")
@pytest.mark.skipif(os.getuid() != 0, reason="only root may mount")
def test_what_no_buffer_holds_is_counted_and_told(small_job: Job) -> None:
    done = small_job.script(FULL, "200", "exit", "notes")  # 12 MB, where 8 MB may wait
    assert done.returncode == 0, done.stderr
    found = small_job.records()
    kept = values_of(found, "loss") + values_of(found, "note")
    [warning] = [record for record in found if isinstance(record, Warned)]
    assert warning.text == f"{400 - len(kept)} records of the training were dropped, since the node's disk was full"
    assert warning.text in done.stderr
    assert 200 < len(kept) < 400
    assert values_of(found, "loss") == sorted(values_of(found, "loss"))


def test_a_folder_that_cannot_be_written_ends_no_training(job: Job, tmp_path: Path) -> None:
    job.env["RUNYARD_TRACKING_DIR"] = str(tmp_path / "file" / "below")
    (tmp_path / "file").write_text("no folder")
    done = job.script("from runyard import Run\nrun = Run.get_context()\nrun.log('a', 1)\nrun.log('a', 2)\nprint('trained')")
    assert done.stdout == "trained\n"
    assert "the newest records wait for room" in done.stderr


def test_what_is_said_never_comes_into_the_programs_own_output(job: Job) -> None:
    job.env["RUNYARD_TRACKING_DIR"] = "/proc/nowhere"
    job.env["PYTHONPATH"] = str(Path.cwd())
    script = "from runyard import Run\nRun.get_context().log('a', 1)\nprint('trained')"
    for stderr in ("2>&-", "2>/dev/full"):
        argv = ["sh", "-c", f'exec "$0" -c "$1" {stderr}', sys.executable, script]
        done = subprocess.run(argv, env=job.env, capture_output=True, text=True, timeout=60, check=False)
        assert (done.stdout, done.returncode) == ("trained\n", 0)


def test_logging_takes_microseconds_and_no_memory(job: Job) -> None:
    # The bench has the figures; here, bounds that hold on a busy machine, too.
    done = job.script(
        "import time\nfrom pathlib import Path\nfrom runyard import Run\nrun = Run.get_context()\n"
        "rss = lambda: int(Path('/proc/self/statm').read_text().split()[1]) * 4096\n"
        "for n in range(1000): run.log('loss', n * 0.1)\n"
        "before, taken = rss(), [0] * 2000\n"
        "for n in range(20_000):\n    start = time.perf_counter_ns()\n    run.log('loss', n * 0.1, step=n)\n"
        "    taken[n % 2000] = time.perf_counter_ns() - start\n"
        "print(sorted(taken)[1000], rss() - before)"
    )
    median_ns, grown_bytes = map(int, done.stdout.split())
    assert median_ns < 100_000
    assert grown_bytes < 1 << 20


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("caf\udce9", "caf\ufffd"),
        ("\ud83d", "\ufffd"),
        ("\ud83d\U0001f600\udce9", "\ufffd\U0001f600\ufffd"),
        ("\\\udce9 and \\udce9 as it is written", "\\\ufffd and \\udce9 as it is written"),
        ("\U0001f600 é", "\U0001f600 é"),
    ],
)
def test_half_of_a_character_costs_no_record(text: str, kept: str) -> None:
    record = decoder.decode(recording.encoded(["s", "child", "Failed", text, 1]))
    assert record == Status("child", "Failed", kept, 1)


def test_without_the_c_encoder_lines_are_the_same() -> None:
    record = ["m", "", 'a"ü\n', 0.1, None, time.time_ns() // 10**6]
    assert recording.encoded(record) == (json.dumps(record, separators=(",", ":")) + "\n").encode()
