"""`runyard run` as its user meets it, without a collector: output, exit codes, signals, environment, bad input."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from runyard import names
from tests.waiting import wait_for

from .node_runs import LOG, NodeRun, is_alive

PRINT_ENVIRONMENT = "import json, os; print(json.dumps(dict(os.environ)))"


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.mark.row("A4")
def test_output_is_echoed_and_kept_byte_for_byte(spool: Path) -> None:
    script = r"printf 'out \377\000\r\n'; printf 'err \376\033[31m' >&2; printf 'no newline'"
    run = NodeRun(spool, "sh", "-c", script)
    result = run.complete()
    assert result.returncode == 0
    assert result.stdout == b"out \xff\x00\r\nno newline"
    assert result.stderr.endswith(b"err \xfe\x1b[31m")
    assert run.split() == (b"out \xff\x00\r\nno newline", b"err \xfe\x1b[31m")


def test_hostile_output_is_kept_byte_for_byte_on_both_streams(spool: Path, tmp_path: Path) -> None:
    pieces = [b"\0" * 65536, os.urandom(65536), b"\r" * 65536, b"\x1b[2K\x1b[1A" * 8192, b"x" * 65536, "ü€".encode()[:-1]]
    hostile = tmp_path / "hostile"
    hostile.write_bytes(b"".join(pieces * 32))
    run = NodeRun(spool, "sh", "-c", 'cat "$0"; cat "$0" >&2', str(hostile))
    result = run.complete()
    assert result.stdout == hostile.read_bytes()
    assert run.split() == (hostile.read_bytes(), hostile.read_bytes())


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 3", 3), ("kill -TERM $$", 143), ("kill -SEGV $$", 139), ("kill -KILL $$", 137)]
)
def test_the_exit_code_is_the_drivers(spool: Path, script: str, code: int) -> None:
    run = NodeRun(spool, "sh", "-c", script)
    assert run.complete().returncode == code
    assert run.state()["exit_code"] == code
    assert run.state()["status"] == ("Completed" if code == 0 else "Failed")


def test_the_time_limit_ends_the_driver_with_124(spool: Path) -> None:
    run = NodeRun(spool, "sh", "-c", "trap '' TERM; while :; do sleep 0.1; done", flags=("--timeout", "0.3"))
    assert run.complete().returncode == 124
    assert run.state()["status"] == "Failed"
    assert "time limit of 0.3 s" in run.state()["cause"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_passed_on_and_the_drivers_answer_is_kept(spool: Path, number: signal.Signals) -> None:
    script = "trap 'echo got int; exit 7' INT; trap 'echo got term; exit 8' TERM; echo ready; while :; do sleep 0.05; done"
    run = NodeRun(spool, "sh", "-c", script)
    process = run.start()
    wait_for(lambda: b"ready" in run.log(), "the trap")
    process.send_signal(number)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == (7 if number == signal.SIGINT else 8)
    assert out.splitlines()[-1] == (b"got int" if number == signal.SIGINT else b"got term")
    assert run.state()["status"] == "Canceled"


def test_after_the_grace_period_the_whole_tree_is_killed_orphans_included(spool: Path, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    # A child, and a daemon that left its parent, its session and its environment, and that ignores SIGTERM.
    script = f"""
        trap '' TERM
        sleep 1000 & echo $! >> {pids}
        (setsid env -i sh -c 'trap "" TERM; echo $$ >> {pids}; while :; do sleep 0.2; done' &) &
        echo $$ >> {pids}
        while :; do sleep 0.1; done
    """
    run = NodeRun(spool, "sh", "-c", script)
    process = run.start()
    wait_for(lambda: pids.exists() and len(pids.read_text().split()) == 3, "three processes")
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 137
    assert not [pid for pid in pids.read_text().split() if is_alive(int(pid))]


def test_what_a_driver_leaves_behind_is_ended_with_it(spool: Path, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    script = f"setsid sh -c 'echo $$ > {pid_file}; exec sleep 1000' & while ! [ -s {pid_file} ]; do sleep 0.01; done"
    assert NodeRun(spool, "sh", "-c", script).complete().returncode == 0
    assert not is_alive(int(pid_file.read_text()))


def test_the_driver_sees_its_run_and_a_token_of_its_own(spool: Path) -> None:
    env = {"RUNYARD_TOKEN": "user-secret", "PYTHONUNBUFFERED": ""}
    run = NodeRun(spool, sys.executable, "-c", PRINT_ENVIRONMENT, flags=("--env", "A=b=c", "--experiment", "exp"), env=env)
    seen = json.loads(run.complete().stdout)
    assert seen["RUNYARD_RUN_ID"] == "r"
    assert seen["RUNYARD_EXPERIMENT"] == "exp"
    assert seen["RUNYARD_OUTPUT_DIR"] == str(run.run_dir / "outputs")
    assert seen["A"] == "b=c"
    assert seen["PYTHONUNBUFFERED"] == ""
    assert seen["RUNYARD_TOKEN"] not in ("", "user-secret")
    assert "user-secret" not in seen.values()
    assert not run.path(names.ENVIRONMENT_FILE).exists()


def test_output_is_unbuffered_unless_the_user_says_otherwise(spool: Path) -> None:
    run = NodeRun(spool, sys.executable, "-c", PRINT_ENVIRONMENT)
    run.env.pop("PYTHONUNBUFFERED", None)
    assert json.loads(run.complete().stdout)["PYTHONUNBUFFERED"] == "1"


def test_stdin_reaches_the_driver(spool: Path) -> None:
    assert NodeRun(spool, "cat").complete(input=b"from a pipe").stdout == b"from a pipe"


def test_arguments_that_are_no_utf8_reach_the_driver_unchanged(spool: Path) -> None:
    run = NodeRun(spool, "printf", "%s", os.fsdecode(b"a\xffb"))
    assert run.complete().stdout == b"a\xffb"
    assert run.json(names.RUN_FILE)["command"][2] == "a\ufffdb"


def test_files_and_folders_of_a_run_belong_to_their_owner_alone(spool: Path) -> None:
    run = NodeRun(spool, "true", env={})
    run.complete()
    for path in [run.run_dir, *run.run_dir.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_the_drivers_umask_stays_the_users(spool: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    NodeRun(spool, "touch", str(made)).complete(umask=0o027)
    assert stat.S_IMODE(made.stat().st_mode) == 0o640


@pytest.mark.row("A7")
@pytest.mark.row("A8")
def test_process_files_have_exactly_azure_mls_fields(spool: Path) -> None:
    run = NodeRun(spool, "sh", "-c", "exit 5")
    run.complete()
    (info,) = run.lines(names.PROCESS_INFO)
    assert list(info) == ["process_name", "node_id", "pid_in_container", "private_ip", "log"]
    assert info["log"] == LOG
    statuses = run.lines(names.PROCESS_STATUS)
    assert [(line["process_name"], line["status"]) for line in statuses] == [
        (info["process_name"], "Started"),
        (info["process_name"], "Failed"),
        ("*", "Failed"),
    ]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", line["timestamp"]) for line in statuses)


@pytest.mark.row("A9")
def test_the_system_log_has_azure_mls_line_form(spool: Path) -> None:
    run = NodeRun(spool, "true")
    run.complete()
    lines = run.path(names.SYSTEM_LOG).read_text().splitlines()
    assert lines
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}\|[\w.]+\|[A-Z]+\|.+", line) for line in lines)


def test_a_run_id_is_made_from_experiment_time_and_eight_hex_digits(spool: Path) -> None:
    run = NodeRun(spool, "true", flags=("--experiment", "digits"))
    at = run.argv.index("--run-id")
    del run.argv[at : at + 2]
    assert run.complete().returncode == 0
    (folder,) = [path.name for path in spool.iterdir() if path.is_dir()]
    assert re.fullmatch(r"digits_\d{10}_[0-9a-f]{8}", folder)


def test_without_a_collector_the_run_says_in_one_line_where_its_logs_stay(spool: Path) -> None:
    error = NodeRun(spool, "true").complete().stderr.decode()
    assert error.count("\n") == 1
    assert "no collector is configured" in error
    assert str(spool / "r") in error


def test_a_collector_that_cannot_be_reached_stops_no_training(spool: Path) -> None:
    run = NodeRun(spool, "echo", "trained", flags=("--collector", "http://127.0.0.1:1"), env={"RUNYARD_RUN__DRAIN_S": "0.2"})
    result = run.complete()
    assert (result.returncode, result.stdout) == (0, b"trained\n")
    assert b"cannot be reached" in result.stderr


def test_a_reader_that_leaves_does_not_end_the_training(spool: Path) -> None:
    run = NodeRun(spool, "sh", "-c", "for i in 1 2 3 4 5; do echo $i; sleep 0.05; done; exit 6")
    process = subprocess.Popen(run.argv, env=run.env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(timeout=30) == 6
    assert run.log() == b"1\n2\n3\n4\n5\n"


def test_a_terminal_that_closes_does_not_end_the_training(spool: Path) -> None:
    run = NodeRun(spool, "sh", "-c", "sleep 0.5; echo end")
    process = run.start()
    process.send_signal(signal.SIGHUP)
    out, _ = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, b"end\n")


@pytest.mark.parametrize(
    ("flags", "command", "sentence"),
    [
        ((), ("no-such-command-here",), "the command 'no-such-command-here' was not found in PATH"),
        ((), ("./missing.sh",), "does not exist"),
        ((), ("/tmp",), "is a folder"),
        ((), ("/proc/version",), "may not be executed"),
        ((), (), "there is no command to run"),
        (("--run-id", "../evil"), ("true",), "the run id '../evil'"),
        (("--run-id", "a..b"), ("true",), "may not hold '..'"),
        (("--experiment", "a/b"), ("true",), "the experiment's name 'a/b'"),
        (("--cwd", "/etc/hostname"), ("true",), "is no folder"),
        (("--tag", "novalue"), ("true",), "--tag 'novalue' is no K=V"),
        (("--timeout", "soon"), ("true",), "--timeout 'soon' is no length of time"),
        (("--collector", "localhost"), ("true",), "is no URL"),
    ],
)
def test_bad_input_gets_one_sentence_and_exit_code_2(
    spool: Path, flags: tuple[str, ...], command: tuple[str, ...], sentence: str
) -> None:
    result = NodeRun(spool, *command, flags=flags).complete()
    assert result.returncode == 2
    assert sentence in result.stderr.decode()
    assert result.stderr.count(b"\n") == 1
    assert not spool.exists() or not [path for path in spool.iterdir() if path.is_dir()]


def test_a_run_id_that_is_taken_on_the_node_is_refused_and_its_run_untouched(spool: Path) -> None:
    first = NodeRun(spool, "echo", "first")
    first.complete()
    result = NodeRun(spool, "echo", "second").complete()
    assert result.returncode == 2
    assert b"the run id 'r' is taken" in result.stderr
    assert first.log() == b"first\n"


def test_a_spool_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = NodeRun(tmp_path / "file", "true").complete()
    assert result.returncode == 2
    assert b"is a file; spool.dir has to name a folder" in result.stderr


def test_a_program_that_the_kernel_refuses_fails_the_run_with_the_reason(spool: Path, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF no program at all")
    program.chmod(0o755)
    result = NodeRun(spool, str(program)).complete()
    assert result.returncode == 126
    assert b"cannot be started" in result.stderr
