"""The spool's quota on the driver's side: a named policy, and never a silent loss."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from runyard import names
from runyard.agent.journal import SystemLog
from runyard.agent.process import Process
from runyard.agent.quota import Quota
from tests.waiting import wait_for

from .node_runs import LOG, NodeRun, is_alive

QUOTA_BYTES = 1 << 20
PRINT_8_MB = "for i in $(seq 128); do head -c 65536 /dev/zero | tr '\\0' x; sleep 0.01; done; echo end"


def limited(spool: Path, policy: str) -> NodeRun:
    env = {"RUNYARD_SPOOL__QUOTA_BYTES": str(QUOTA_BYTES), "RUNYARD_SPOOL__QUOTA_POLICY": policy}
    return NodeRun(spool, "sh", "-c", PRINT_8_MB, env=env)


def test_policy_drop_frees_the_oldest_bytes_and_counts_them(tmp_path: Path) -> None:
    run = limited(tmp_path, "drop")
    assert run.complete().returncode == 0
    gaps = run.lines(names.GAPS_FILE)
    assert gaps
    assert gaps[0]["start"] == 0
    assert all(before["end"] == after["start"] for before, after in pairwise(gaps))
    log = run.log()
    dropped = gaps[-1]["end"]
    assert log[:dropped] == b"\0" * dropped
    assert log[dropped:] == (b"x" * 65536 * 128 + b"end\n")[dropped:]
    assert run.path(LOG).stat().st_blocks * 512 < 2 * QUOTA_BYTES
    assert b"the oldest bytes are dropped" in run.path(names.SYSTEM_LOG).read_bytes()


def test_policy_block_stops_the_driver_and_loses_nothing(tmp_path: Path) -> None:
    run = limited(tmp_path, "block")
    process = run.start()
    blocked = run.path(f"{names.PRIVATE_DIR}/blocked")
    wait_for(blocked.exists, "the quota")
    driver = run.started()["pid"]
    wait_for(lambda: Path(f"/proc/{driver}/stat").read_text().rpartition(") ")[2][0] == "T", "a stopped driver")
    process.terminate()
    process.communicate(timeout=30)
    assert not is_alive(driver)
    assert set(run.log()) == {ord("x")}
    assert not run.path(names.GAPS_FILE).exists()
    assert b"the driver is stopped until" in run.path(names.SYSTEM_LOG).read_bytes()


RUN = {"run_id": "r", "mark": "m", "world_size": 1, "quota_bytes": QUOTA_BYTES, "quota_policy": "block"}


def filled(run_dir: Path) -> Process:
    """A run's folder whose log is over the quota."""
    (run_dir / names.PRIVATE_DIR).mkdir()
    log = run_dir / LOG
    log.parent.mkdir(parents=True)
    log.write_bytes(b"x" * 2 * QUOTA_BYTES)
    return Process(str(run_dir), RUN, 0)


def quota(run_dir: Path) -> Quota:
    return Quota(str(run_dir), RUN, SystemLog(str(run_dir / names.SYSTEM_LOG), "test"))


@contextmanager
def capture_of(*command: str) -> Iterator[tuple[int, int]]:
    """(its pid, the driver's pid) of a shell that has the driver as its child, as a capture has it."""
    script = '"$@" & echo $!; wait'
    with subprocess.Popen(["sh", "-c", script, "sh", *command], stdout=subprocess.PIPE, text=True) as capture:
        assert capture.stdout is not None
        driver = int(capture.stdout.readline())
        try:
            yield capture.pid, driver
        finally:
            os.kill(driver, signal.SIGKILL)


def letter(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


def test_a_driver_without_the_runs_environment_is_stopped_and_its_capture_is_not(tmp_path: Path) -> None:
    process = filled(tmp_path)
    with capture_of("env", "-i", "sleep", "60") as (process.capture_pid, driver):
        quota(tmp_path).step([process])
        wait_for(lambda: letter(driver) == "T", "a stopped driver")
        assert letter(process.capture_pid) != "T"
        # Another shepherd, after the first one's death: the capture is not its child.
        process.capture_pid = 0
        quota(tmp_path).release()
        wait_for(lambda: letter(driver) != "T", "a driver that goes on")
    assert not (tmp_path / names.PRIVATE_DIR / "blocked").exists()


def test_a_mark_without_a_stopped_driver_is_not_believed(tmp_path: Path) -> None:
    process = filled(tmp_path)
    (tmp_path / names.PRIVATE_DIR / "blocked").touch()
    with capture_of("sleep", "60") as (process.capture_pid, driver):
        quota(tmp_path).step([process])
        wait_for(lambda: letter(driver) == "T", "a stopped driver")


def test_a_reset_makes_the_next_drop_begin_at_the_new_logs_start(tmp_path: Path) -> None:
    process = filled(tmp_path)
    lines = [{"name": LOG, "start": 0, "end": 8 * QUOTA_BYTES}, {"name": LOG, "start": 0, "end": 0, "reset": True}]
    (tmp_path / names.GAPS_FILE).write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"cut by a death\n')
    Quota(str(tmp_path), RUN | {"quota_policy": "drop"}, SystemLog(str(tmp_path / names.SYSTEM_LOG), "test")).step([process])
    gap = json.loads((tmp_path / names.GAPS_FILE).read_text().splitlines()[-1])
    assert (gap["start"], gap["end"] > QUOTA_BYTES) == (0, True)


def test_where_no_hole_can_be_made_no_gap_is_noted(tmp_path: Path) -> None:
    # ramfs makes no holes; in a mount namespace of its own it is nobody else's.
    if subprocess.run(["unshare", "-Urm", "mount", "-t", "ramfs", "none", tmp_path], check=False).returncode:
        pytest.skip("no ramfs can be mounted here")
    spool, kept = tmp_path / "spool", tmp_path / "kept"
    spool.mkdir()
    run = limited(spool, "drop")
    script = 'mount -t ramfs none "$0" && "$@"; code=$?; cp -r "$0/r" "$KEPT"; exit $code'
    result = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", script, spool, *run.argv],
        env=run.env | {"KEPT": str(kept)},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 0, result
    assert (kept / LOG).read_bytes() == b"x" * 65536 * 128 + b"end\n"
    assert not (kept / names.GAPS_FILE).exists()
    assert (kept / names.SYSTEM_LOG).read_bytes().count(b"the quota is not kept") == 1
