"""`make demo`: it shows a real training through a collector, leaves nothing running, and works again beside its leavings."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.scene import environment
from tests.collector_process import CollectorProcess

ROOT = Path(__file__).parents[2]


def demo(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "demo", "--folder", str(folder), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, timeout=100, check=False)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.row("B1", "A4")
@pytest.mark.needs_system("scikit-learn")
def test_a_real_training_is_seen_through_the_collector_and_everything_ends(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    folder = tmp_path / "demo"
    done = demo(folder)
    text = done.stdout.decode()
    assert done.returncode == 0, text + done.stderr.decode()
    assert all(f"epoch {epoch:2}: loss " in text for epoch in range(1, 11))
    assert text.count("| 43/43") == 10
    assert folder.stat().st_mode & 0o777 == 0o700
    pid = int(text.partition("(process ")[2].partition(")")[0])
    assert not is_running(pid)

    (log,) = folder.glob("collector/runs/digits/*/127.0.0.1/azureml-logs/70_driver_log.txt")
    assert log.read_bytes().count(b"\r") == 430
    assert str(log.parents[1]) in text
    assert "outputs/weights.npz" in text


def test_the_exit_code_is_the_trainings_and_the_second_time_works_like_the_first(tmp_path: Path) -> None:
    assert demo(tmp_path, "--", "sh", "-c", "echo one; exit 3").returncode == 3
    done = demo(tmp_path, "--", "sh", "-c", "echo two")
    assert done.returncode == 0
    assert b"\ntwo\n" in done.stdout
    run_ids = [path.name for path in tmp_path.glob("collector/runs/digits/*")]
    assert len(run_ids) == 2

    again = CollectorProcess(tmp_path / "collector")
    try:
        again.start()
        for run_id in run_ids:
            command = [sys.executable, "-m", "runyard", "verify", run_id]
            assert subprocess.run(command, env=environment(again), capture_output=True, timeout=30).returncode == 0
    finally:
        again.close()


def test_ctrl_c_ends_the_training_and_the_collector(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "demo", "--folder", str(tmp_path), "--", "sh", "-c", "echo begun; exec sleep 60"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    text = b""
    while b"begun\n" not in text:
        text += process.stdout.readline()
    os.killpg(process.pid, signal.SIGINT)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 130, rest
    assert not is_running(int(text.partition(b"(process ")[2].partition(b")")[0]))
