"""`runyard ship`: what lies in the spool is sent by hand or by a service; one process ships a run, however many there are."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runyard import names
from tests.collector_process import CollectorProcess
from tests.waiting import wait_for

from .spool_builder import LOG, SpoolRun, copies, copy_is, environment, run_json, run_ship, start_ship, verify


def test_everything_in_the_spool_is_sent_once(collector: CollectorProcess, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    ended = [SpoolRun(spool, f"ended-{number}") for number in range(6)]
    for run in ended:
        run.write(LOG, run.run_id.encode())
        run.end()
    living = SpoolRun(spool, "living")
    living.start()
    living.write(LOG, b"so far")
    (spool / "half-made").mkdir()
    try:
        result = run_ship(collector, spool)
        assert result.returncode == 0, result
        assert len(result.stdout.splitlines()) == 7
        assert "living: 6 bytes sent" in result.stdout
        for run in ended:
            assert copies(collector, run.run_id) == {LOG: run.run_id.encode()}
            assert verify(collector, run.run_id) == {LOG: "ok"}
        assert copies(collector, "living") == {LOG: b"so far"}
        again = run_ship(collector, spool, "-o", "json")
        assert again.returncode == 0
        assert [one["run_id"] for one in json.loads(again.stdout)["runs"]] == ["living"]
    finally:
        living.close()


def test_without_a_collector_the_spool_stays_and_the_exit_code_says_so(collector: CollectorProcess, tmp_path: Path) -> None:
    run = SpoolRun(tmp_path / "spool")
    run.write(LOG, b"kept")
    run.end()
    collector.kill()
    result = run_ship(collector, tmp_path / "spool")
    assert result.returncode == 1
    assert "cannot be reached" in result.stdout
    assert "Traceback" not in result.stderr
    collector.restart()
    assert run_ship(collector, tmp_path / "spool").returncode == 0
    assert copies(collector) == {LOG: b"kept"}


def test_mistakes_are_told_in_one_sentence(collector: CollectorProcess, tmp_path: Path) -> None:
    none = run_ship(collector, tmp_path / "spool", RUNYARD_COLLECTOR_URL="")
    assert (none.returncode, none.stdout) == (2, "")
    assert "no collector is configured" in none.stderr
    run = SpoolRun(tmp_path / "spool")
    run.end()
    wrong = run_ship(collector, tmp_path / "spool", RUNYARD_TOKEN="wrong")
    assert wrong.returncode == 1
    assert "token" in wrong.stdout
    file = tmp_path / "file"
    file.touch()
    assert run_ship(collector, file).returncode == 2
    assert run_ship(collector, tmp_path / "nothing").returncode == 0


def test_a_locked_spool_is_left_to_its_holder(collector: CollectorProcess, tmp_path: Path) -> None:
    run = SpoolRun(tmp_path / "spool")
    run.write(LOG, b"once")
    run.end()
    holder = os.open(run.path(names.SPOOL_LOCK), os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(holder, fcntl.LOCK_EX)
    result = run_ship(collector, tmp_path / "spool")
    assert result.returncode == 0
    assert "another process ships this run" in result.stdout
    assert run.shipped() is None
    os.close(holder)
    assert run_ship(collector, tmp_path / "spool").returncode == 0
    assert run.shipped() is not None


def test_one_of_two_watchers_ships_and_the_other_takes_over_when_it_is_killed(
    collector: CollectorProcess, tmp_path: Path
) -> None:
    run = SpoolRun(tmp_path / "spool")
    run.start()
    run.write(LOG, b"one")
    watchers = [start_ship(collector, tmp_path / "spool", "--watch") for _ in range(2)]
    try:
        copy_is(collector, LOG, b"one")
        holder = int(_holder_of(run.path(names.SPOOL_LOCK)))
        first = next(watcher for watcher in watchers if watcher.pid == holder)
        first.kill()
        run.append(LOG, b" two")
        copy_is(collector, LOG, b"one two")
        assert _holder_of(run.path(names.SPOOL_LOCK)) != str(holder)
        run.end()
        wait_for(run.shipped, "all shipped")
    finally:
        run.close()
        for watcher in watchers:
            watcher.kill()
            watcher.communicate()
    assert verify(collector) == {LOG: "ok"}


def _holder_of(path: Path) -> str:
    inode = str(path.stat().st_ino)
    for line in Path("/proc/locks").read_text().splitlines():
        words = line.split()
        if "->" not in words and words[5].endswith(f":{inode}"):
            return words[4]
    raise AssertionError("nobody holds the lock")


def test_watch_ends_at_sigterm_with_exit_code_0_and_gives_the_locks_up(collector: CollectorProcess, tmp_path: Path) -> None:
    run = SpoolRun(tmp_path / "spool")
    run.start()
    run.write(LOG, b"seen")
    watcher = start_ship(collector, tmp_path / "spool", "--watch")
    try:
        copy_is(collector, LOG, b"seen")
        watcher.send_signal(signal.SIGTERM)
        _, err = watcher.communicate(timeout=10)
        assert watcher.returncode == 0
        assert all(json.loads(line)["event"] for line in err.splitlines())
        run.end()
        assert run_ship(collector, tmp_path / "spool").returncode == 0
    finally:
        watcher.kill()
        watcher.communicate()


def test_watch_survives_whatever_one_folder_holds(collector: CollectorProcess, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    good, vanishing = SpoolRun(spool, "good"), SpoolRun(spool, "vanishing")
    for run in (good, vanishing):
        run.start()
        run.write(LOG, b"begun")
    broken = SpoolRun(spool, "broken")
    broken.path(names.RUN_FILE).write_text('{"run_id": ')
    partial = SpoolRun(spool, "partial")
    partial.path(names.RUN_FILE).write_text('{"run_id": "partial", "run_token": "t", "node_id": "n"}')
    (spool / "file").touch()
    (spool / "folder-as-run" / names.RUN_FILE).mkdir(parents=True)
    watcher = start_ship(collector, spool, "--watch")
    try:
        copy_is(collector, LOG, b"begun", "vanishing")
        shutil.rmtree(vanishing.run_dir)
        copy_is(collector, LOG, b"begun", "good")
        good.append(LOG, b" and ended")
        good.end()
        wait_for(good.shipped, "the good one is shipped")
        assert watcher.poll() is None
        watcher.send_signal(signal.SIGTERM)
        _, err = watcher.communicate(timeout=20)
        assert watcher.returncode == 0
    finally:
        vanishing.close()
        watcher.kill()
        watcher.communicate()
    assert "Traceback" not in err
    said = {line.get("run_id"): line["event"] for line in map(json.loads, err.splitlines()) if line["level"] != "info"}
    assert {"broken", "partial", "folder-as-run"} <= said.keys()


@pytest.mark.needs_system("util-linux")
@pytest.mark.parametrize("limit", ["instances", "watches"])
def test_new_files_are_found_when_inotify_is_exhausted(limit: str, collector: CollectorProcess, tmp_path: Path) -> None:
    # A user namespace has limits of its own: nobody else's inotify suffers.
    probe = subprocess.run(["unshare", "-Ur", "true"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip("no user namespace can be made here")
    run = SpoolRun(tmp_path / "spool")
    run.start()
    run.write("logs/folder/first", b"1")
    few = f"echo {3 if limit == 'watches' else 0} > /proc/sys/user/max_inotify_{limit}"
    watcher = start_ship(collector, tmp_path / "spool", "--watch", before=few, within=("unshare", "-Ur"))
    try:
        copy_is(collector, "logs/folder/first", b"1")
        for number in range(3):
            run.write(f"logs/folder/{number}", b"2")
            copy_is(collector, f"logs/folder/{number}", b"2")
        run.end()
        wait_for(run.shipped, "all shipped")
    finally:
        watcher.send_signal(signal.SIGTERM)
        _, err = watcher.communicate(timeout=20)
        run.close()
    assert "found by scanning" in err


def test_a_run_whose_wrapper_and_shepherd_were_killed_is_brought_to_its_end(
    collector: CollectorProcess, tmp_path: Path
) -> None:
    spool = tmp_path / "spool"
    variables = environment(collector, spool) | {"RUNYARD_RUN__GRACE_S": "1"}
    script = "for n in $(seq 300); do echo line $n; sleep 0.01; done; exit 3"
    wrapper = subprocess.Popen(
        [sys.executable, "-m", "runyard", "run", "--run-id", "r", "--experiment", "e", "--", "sh", "-c", script],
        env=variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
    )
    state = spool / "r" / names.STATE_FILE
    wait_for(lambda: state.exists() and json.loads(state.read_text())["status"] == "Running", "the driver runs")
    wrapper.kill()
    wrapper.wait()
    os.kill(json.loads(state.read_text())["shepherd_pid"], signal.SIGKILL)
    watcher = start_ship(collector, spool, "--watch")
    try:
        wait_for((spool / "r" / names.SHIPPED_FILE).exists, "all shipped", limit_s=30)
    finally:
        watcher.send_signal(signal.SIGTERM)
        watcher.communicate(timeout=10)
    assert copies(collector)[LOG] == b"".join(b"line %d\n" % number for number in range(1, 301))
    assert (run_json(collector)["status"], run_json(collector)["exit_code"]) == ("Failed", 3)
