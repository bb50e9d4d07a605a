"""The whole path, as its user meets it: run on a node, watch and read through the collector."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runyard import names
from tests.agent.node_runs import LOG, NodeRun
from tests.agent.phased_runs import is_there
from tests.collector_process import CollectorProcess
from tests.waiting import wait_for

from .conftest import NodeRunFactory


def runyard(collector: CollectorProcess, *words: str, check: bool = True) -> bytes:
    """The stdout of a runyard command that knows the collector."""
    env = os.environ | {"RUNYARD_COLLECTOR_URL": collector.url, "RUNYARD_TOKEN": collector.token}
    result = subprocess.run([sys.executable, "-m", "runyard", *words], env=env, capture_output=True, timeout=60, check=False)
    assert not check or result.returncode == 0, result.stderr.decode()
    return result.stdout


def node_folder(collector: CollectorProcess, run_id: str = "r") -> Path:
    """The run's only node folder at the collector; its name is the node's IP."""
    (folder,) = (collector.data_dir / "runs" / "default" / run_id).iterdir()
    return folder


@pytest.mark.row("A4")
@pytest.mark.row("A7")
@pytest.mark.row("A8")
@pytest.mark.row("A9")
def test_a_run_leaves_every_file_of_the_table_in_the_folder_of_its_node_ip(
    collector: CollectorProcess, node_run: NodeRunFactory
) -> None:
    run = node_run("sh", "-c", "echo out; echo err >&2; exit 3")
    assert run.complete().returncode == 3
    folder = node_folder(collector)
    assert folder.name == "127.0.0.1"
    for name in (LOG, names.PROCESS_INFO, names.PROCESS_STATUS, names.SYSTEM_LOG):
        assert (folder / name).read_bytes() == run.path(name).read_bytes(), name
        assert (folder / name).stat().st_size
    shown = json.loads(runyard(collector, "show", "r", "-o", "json"))
    assert (shown["status"], shown["exit_code"], shown["is_complete"]) == ("Failed", 3, True)
    runyard(collector, "verify", "r")


@pytest.mark.row("B1")
def test_logs_and_the_users_own_files_stream_while_the_run_goes_on(
    collector: CollectorProcess, node_run: NodeRunFactory, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    script = f"echo early; echo mine >> $RUNYARD_LOG_DIR/own.txt; while ! [ -e {go} ]; do sleep 0.05; done; echo late"
    run = node_run("sh", "-c", script)
    process = run.start()
    wait_for(lambda: b"early" in runyard(collector, "logs", "r", check=False), "the first line at the collector")
    wait_for(lambda: b"mine" in runyard(collector, "logs", "r", "--file", "logs/own.txt", check=False), "the user's own file")
    assert json.loads(runyard(collector, "show", "r", "-o", "json"))["status"] == "Running"
    go.touch()
    process.communicate(timeout=30)
    assert runyard(collector, "logs", "r", "-f", "--raw") == b"early\nlate\n"


def test_outputs_are_there_once_the_run_has_ended(collector: CollectorProcess, node_run: NodeRunFactory) -> None:
    node_run("sh", "-c", "mkdir $RUNYARD_OUTPUT_DIR/a; echo model > $RUNYARD_OUTPUT_DIR/a/model.bin").complete()
    assert (node_folder(collector) / "outputs/a/model.bin").read_bytes() == b"model\n"


def test_a_follower_sees_a_run_from_before_its_start_to_its_end(
    collector: CollectorProcess, node_run: NodeRunFactory, tmp_path: Path
) -> None:
    env = os.environ | {"RUNYARD_COLLECTOR_URL": collector.url, "RUNYARD_TOKEN": collector.token}
    argv = [sys.executable, "-m", "runyard", "logs", "-f", "--raw", "r"]
    follower = subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    go = tmp_path / "go"
    run = node_run("sh", "-c", f"for i in 1 2 3 4 5; do echo $i; sleep 0.1; done; {is_there(go)}")
    process = run.start()
    collector.kill()
    collector.restart()
    wait_for(lambda: b"5" in runyard(collector, "logs", "r", check=False), "all lines at the collector that came back")
    go.touch()
    process.communicate(timeout=60)
    out, _ = follower.communicate(timeout=60)
    assert out == b"1\n2\n3\n4\n5\n"
    assert follower.returncode == 0


def test_a_collector_that_comes_late_gets_everything(
    collector: CollectorProcess, node_run: NodeRunFactory, tmp_path: Path
) -> None:
    collector.kill()
    go = tmp_path / "go"
    script = f"for i in 1 2 3 4 5 6 7 8; do echo $i; done; {is_there(go)}; exit 2"
    run = node_run("sh", "-c", script, env={"RUNYARD_SHIP__BACKOFF_MAX_S": "0.3"})
    process = run.start()
    collector.restart()
    wait_for(lambda: b"8" in runyard(collector, "logs", "r", check=False), "all lines at the collector that came late")
    go.touch()
    _, error = process.communicate(timeout=60)
    assert process.returncode == 2
    assert b"cannot be reached" in error
    assert (node_folder(collector) / LOG).read_bytes() == b"1\n2\n3\n4\n5\n6\n7\n8\n"


def test_a_run_that_the_collector_never_saw_is_sent_by_ship(
    collector: CollectorProcess, node_run: NodeRunFactory, tmp_path: Path
) -> None:
    run = NodeRun(tmp_path / "spool", "echo", "offline")
    run.complete()
    result = subprocess.run(
        [sys.executable, "-m", "runyard", "ship"], env=node_run("true").env, capture_output=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stderr
    assert (node_folder(collector) / LOG).read_bytes() == b"offline\n"
    assert run.path(names.SHIPPED_FILE).exists()


def test_a_run_id_that_the_collector_knows_is_refused_before_anything_runs(
    collector: CollectorProcess, node_run: NodeRunFactory, tmp_path: Path
) -> None:
    node_run("true").complete()
    env = node_run("true").env | {"RUNYARD_SPOOL__DIR": str(tmp_path / "other")}
    other = NodeRun(tmp_path / "other", "touch", str(tmp_path / "ran"), env=env)
    result = other.complete()
    assert result.returncode == 2
    assert b"'r'" in result.stderr
    assert result.stderr.count(b"\n") == 1
    assert not (tmp_path / "ran").exists()
    assert not other.run_dir.exists()


def test_a_wrong_token_stops_no_training_and_is_told_in_one_sentence(
    collector: CollectorProcess, node_run: NodeRunFactory
) -> None:
    run = node_run("echo", "trained", env={"RUNYARD_TOKEN": "wrong-token-value", "RUNYARD_RUN__DRAIN_S": "0.2"})
    result = run.complete()
    assert (result.returncode, result.stdout) == (0, b"trained\n")
    assert b"token" in result.stderr
    assert b"wrong-token-value" not in result.stderr
    assert b"`runyard ship`" in result.stderr
    assert "wrong-token-value" not in collector.log_text


def test_a_runs_own_token_can_read_its_run_and_no_other(collector: CollectorProcess, node_run: NodeRunFactory) -> None:
    node_run("true", run_id="other").complete()
    read = f"{sys.executable} -m runyard show"
    run = node_run("sh", "-c", f"{read} r -o json > /dev/null && echo own; {read} other -o json || echo refused")
    assert run.complete().stdout.split() == [b"own", b"refused"]


def test_quota_block_lets_the_driver_go_on_when_the_collector_has_taken_more(
    collector: CollectorProcess, node_run: NodeRunFactory
) -> None:
    script = "for i in $(seq 96); do head -c 65536 /dev/zero | tr '\\0' x; done"
    run = node_run("sh", "-c", script, env={"RUNYARD_SPOOL__QUOTA_BYTES": str(1 << 20)})
    assert run.complete().returncode == 0
    assert (node_folder(collector) / LOG).read_bytes() == b"x" * 65536 * 96
    assert run.path(LOG).stat().st_blocks * 512 < 4 << 20
    runyard(collector, "verify", "r")


def test_quota_drop_leaves_a_gap_that_is_marked_and_counted(collector: CollectorProcess, node_run: NodeRunFactory) -> None:
    collector.kill()
    quota = {"RUNYARD_SPOOL__QUOTA_BYTES": str(1 << 20), "RUNYARD_SPOOL__QUOTA_POLICY": "drop"}
    script = "for i in $(seq 96); do head -c 65536 /dev/zero | tr '\\0' x; sleep 0.01; done; echo; echo end"
    run = node_run("sh", "-c", script, env=quota | {"RUNYARD_SHIP__BACKOFF_MAX_S": "0.3"})
    process = run.start()
    wait_for(lambda: run.path(names.GAPS_FILE).exists(), "the quota")
    collector.restart()
    _, error = process.communicate(timeout=60)
    dropped = run.lines(names.GAPS_FILE)[-1]["end"]
    copy = (node_folder(collector) / LOG).read_bytes()
    assert len(copy) == 65536 * 96 + 5
    assert copy[dropped:] == (b"x" * 65536 * 96 + b"\nend\n")[dropped:]
    told = runyard(collector, "logs", "r").decode()
    assert "bytes were dropped here" in told
    report = json.loads(runyard(collector, "verify", "r", "-o", "json", check=False))
    assert [file["result"] for file in report["files"] if file["path"] == LOG] == ["gaps"], (report, error)


HOSTILE = {
    "nul_bytes": b"\0" * (10 << 20),
    "invalid_utf8": bytes(range(128, 256)) * (10 << 13),
    "carriage_returns": b"50%|#####     |\r" * 655_360,
    "ansi": b"\x1b[31mred\x1b[0m\x1b[2K\x1b[1A" * 500_000,
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_output_is_identical_at_the_collector(
    collector: CollectorProcess, node_run: NodeRunFactory, tmp_path: Path, kind: str
) -> None:
    hostile = tmp_path / "hostile"
    hostile.write_bytes(HOSTILE[kind])
    assert node_run("cat", str(hostile)).complete().stdout == HOSTILE[kind]
    assert (node_folder(collector) / LOG).read_bytes() == HOSTILE[kind]


def test_a_line_of_1_gb_without_a_newline_is_identical_at_the_collector(
    collector: CollectorProcess, node_run: NodeRunFactory
) -> None:
    script = "import os\nblock = os.urandom(1 << 20).replace(b'\\n', b'n')\nfor _ in range(1000): os.write(1, block)"
    run = node_run(sys.executable, "-c", script)
    with Path(os.devnull).open("wb") as nowhere:
        code = subprocess.run(run.argv, env=run.env, stdout=nowhere, timeout=110, check=False).returncode
    assert code == 0
    assert run.path(LOG).stat().st_size == 1000 << 20
    assert file_digest(node_folder(collector) / LOG) == file_digest(run.path(LOG))


def file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def test_a_finished_run_leaves_none_of_our_processes_behind(collector: CollectorProcess, node_run: NodeRunFactory) -> None:
    run = node_run("true")
    run.complete()
    deadline = time.monotonic() + 10
    while left := [path.name for path in Path("/proc").iterdir() if path.name.isdigit() and names_run(path, run.run_dir)]:
        assert time.monotonic() < deadline, left


def names_run(process: Path, run_dir: Path) -> bool:
    try:
        return str(run_dir).encode() in (process / "cmdline").read_bytes()
    except OSError:
        return False


def said_on_a_terminal(run: NodeRun) -> tuple[int, bytes, str]:
    """Exit code, stdout, and what a person reads on the terminal that stderr is."""
    here, there = os.openpty()
    try:
        done = subprocess.run(run.argv, env=run.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=there, timeout=60)
        return done.returncode, done.stdout, os.read(here, 1 << 16).decode()
    finally:
        os.close(here)
        os.close(there)


def test_a_person_at_a_terminal_is_told_which_run_it_is_and_how_to_see_why_it_failed(node_run: NodeRunFactory) -> None:
    code, out, said = said_on_a_terminal(node_run("sh", "-c", "echo out; exit 3"))
    assert (code, out) == (3, b"out\n")
    assert said == "runyard: this is run r\r\nrunyard: `runyard show r` says more of why\r\n"


def test_a_person_at_a_terminal_is_told_how_long_the_others_have_when_one_has_failed(
    node_run: NodeRunFactory,
) -> None:
    flags = ("--nproc-per-node", "2", "--failure-grace", "3")
    run = node_run("sh", "-c", '[ "$RUNYARD_RANK" = 1 ] && exit 7; exec sleep 60', flags=flags)
    code, _, said = said_on_a_terminal(run)
    assert code == 7
    assert "runyard: rank 1 has failed; the others are ended in 3 s (--failure-grace)\r\n" in said


@pytest.mark.row("C7")
@pytest.mark.parametrize("pause", ["sleep 0.02", ":"])
def test_a_cancel_is_heard_by_a_run_that_never_stops_printing(
    collector: CollectorProcess, node_run: NodeRunFactory, pause: str
) -> None:
    script = f"while :; do echo and on and on; {pause}; done"
    run = node_run("sh", "-c", script, env={"RUNYARD_SHIP__HEARTBEAT_S": "0.5"})
    process = run.start()
    wait_for(lambda: b"and on" in runyard(collector, "logs", "r", check=False), "the first line at the collector")
    runyard(collector, "cancel", "r")
    process.communicate(timeout=60)
    assert run.final_state()["status"] == "Canceled"
    assert json.loads(runyard(collector, "show", "r", "-o", "json"))["status"] == "Canceled"
