"""The spool's quota on the driver's side: a named policy, and never a silent loss."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from runyard import names
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
