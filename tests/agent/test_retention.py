"""What the collector has whole goes from the node, oldest first; what anybody still needs stays."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog

from runyard import names
from runyard.agent.retention import Retention
from runyard.atomic import write_json
from runyard.configuration import load
from runyard.settings import Settings
from tests.collector.small_disk import mounted
from tests.waiting import wait_for

HOUR_S = 3600.0


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users may pass, as the agent's spool is."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


def _settings(folder: Path, **of_agent: Any) -> Settings:
    variables = {"RUNYARD_SPOOL__DIR": str(folder / "spool"), "RUNYARD_ENVIRONMENT__CACHE_DIR": str(folder / "cache")}
    found = load(environ={"HOME": str(folder)} | variables)
    return replace(found, agent=replace(found.agent, **({"keep_free_bytes": 0} | of_agent)))


def _spool(folder: Path, name: str, *, age_s: float | None, run: dict[str, object] | None = None) -> Path:
    """A run's folder that was shipped so long ago; None: not yet."""
    run_dir = folder / "spool" / name
    (run_dir / names.PRIVATE_DIR).mkdir(parents=True)
    write_json(str(run_dir / names.RUN_FILE), {"run_id": name, "mark": "m"} | (run or {}))
    (run_dir / "azureml-logs").mkdir()
    (run_dir / "azureml-logs/70_driver_log.txt").write_bytes(b"x" * 4096)
    if age_s is not None:
        write_json(str(run_dir / names.SHIPPED_FILE), {})
        _age(run_dir / names.SHIPPED_FILE, age_s)
    return run_dir


def _age(path: Path, age_s: float) -> None:
    os.utime(path, (time.time() - age_s,) * 2)


def _retention(folder: Path, settings: Settings, **how: object) -> Retention:
    return Retention(folder / "spool", settings, structlog.get_logger(), **how)  # type: ignore[arg-type]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def test_of_the_spools_those_that_were_shipped_long_ago_go_and_all_others_stay(tmp_path: Path) -> None:
    old, young = _spool(tmp_path, "old", age_s=2 * HOUR_S), _spool(tmp_path, "young", age_s=10)
    unshipped, wanted = _spool(tmp_path, "unshipped", age_s=None), _spool(tmp_path, "wanted", age_s=2 * HOUR_S)
    first, second = _spool(tmp_path, "again", age_s=2 * HOUR_S), _spool(tmp_path, "again~1", age_s=None)
    forgotten: list[Path] = []
    retention = _retention(
        tmp_path, _settings(tmp_path, keep_shipped_s=HOUR_S), may_go=lambda one: one != wanted, forget=forgotten.append
    )
    retention.look()
    assert not old.exists()
    assert forgotten == [old]
    assert all(one.exists() for one in (young, unshipped, wanted, first, second))
    assert not list((tmp_path / "spool").glob(".removed.*"))


@pytest.mark.parametrize("lock", [names.SPOOL_LOCK, names.SHEPHERD_LOCK])
def test_a_spool_that_somebody_is_at_stays_until_they_have_finished(tmp_path: Path, lock: str) -> None:
    old = _spool(tmp_path, "old", age_s=2 * HOUR_S)
    retention = _retention(tmp_path, _settings(tmp_path, keep_shipped_s=HOUR_S))
    with _locked(old / lock):
        retention.look()
        assert (old / names.RUN_FILE).exists()
    retention.look()
    assert not old.exists()


def test_while_the_disk_has_too_little_room_the_oldest_go_at_once_and_no_more_than_needed(tmp_path: Path) -> None:
    with mounted(tmp_path / "spool"):
        spools = [_spool(tmp_path, f"r{number}", age_s=100 - number) for number in range(4)]
        for run_dir in spools:
            (run_dir / "logs").mkdir()
            (run_dir / "logs/big.txt").write_bytes(bytes(4 << 20))
        room = os.statvfs(tmp_path / "spool").f_bavail * 4096
        _retention(tmp_path, _settings(tmp_path, keep_free_bytes=room + (6 << 20))).look()
        assert [run_dir.exists() for run_dir in spools] == [False, False, True, True]


def test_what_a_kill_has_left_of_a_removed_spool_goes_and_what_is_mounted_in_one_is_not_touched(tmp_path: Path) -> None:
    half = _spool(tmp_path, "half", age_s=1)
    half.rename(half.with_name(".removed.half"))
    busy = _spool(tmp_path, "busy", age_s=2 * HOUR_S)
    with mounted(busy / "theirs") as place:
        (place / "data").write_bytes(b"a person's")
        _retention(tmp_path, _settings(tmp_path, keep_shipped_s=HOUR_S)).look()
        assert (place / "data").read_bytes() == b"a person's"
    assert not half.with_name(".removed.half").exists()


def test_caches_that_no_run_uses_go_and_what_one_uses_stays(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    venvs = {name: cache / "venvs" / name for name in ("old", "used", "young", "building")}
    for venv in venvs.values():
        venv.mkdir(parents=True)
        write_json(str(venv / "complete.json"), {})
        _age(venv / "complete.json", 10 if venv.name == "young" else 2 * HOUR_S)
    archives = [cache / "snapshots" / f"{digit * 64}.tar" for digit in "ab"]
    archives[0].parent.mkdir()
    for archive in archives:
        archive.write_bytes(b"tar")
    _age(archives[0], 2 * HOUR_S)
    live = _spool(tmp_path, "live", age_s=None, run={"cache_dir": str(cache)})
    result = live / names.phase_dir("image") / "result.json"
    result.parent.mkdir(parents=True)
    write_json(str(result), {"result": "done", "data": {"env": {"VIRTUAL_ENV": str(venvs["used"])}}})
    with _locked(venvs["building"].with_suffix(".lock")):
        _retention(tmp_path, _settings(tmp_path, keep_cache_s=HOUR_S)).look()
    assert [venv.exists() for venv in venvs.values()] == [False, True, True, True]
    assert [archive.exists() for archive in archives] == [False, True]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs_system(root): only root acts for others")
def test_another_users_spool_goes_and_a_link_in_it_leads_nowhere(open_folder: Path) -> None:
    precious = open_folder / "precious"
    precious.mkdir()
    (precious / "data").write_bytes(b"root's")
    theirs = _spool(open_folder, "theirs", age_s=2 * HOUR_S)
    (theirs / "outputs").symlink_to(precious)
    subprocess.run(["chown", "-hR", "65534:65534", str(theirs)], check=True)
    _retention(open_folder, _settings(open_folder, keep_shipped_s=HOUR_S)).look()
    assert not theirs.exists()
    assert (precious / "data").read_bytes() == b"root's"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs_system(root): only root acts for others")
def test_a_cache_that_a_run_names_is_cleared_with_the_rights_of_the_runs_user_alone(open_folder: Path) -> None:
    precious = open_folder / "home/venvs/precious"
    precious.mkdir(parents=True)
    _age(precious, 2 * HOUR_S)
    own = open_folder / "own/venvs/old"
    own.mkdir(parents=True)
    _age(own, 2 * HOUR_S)
    for name, cache in (("one", open_folder / "home"), ("two", open_folder / "own")):
        theirs = _spool(open_folder, name, age_s=None, run={"cache_dir": str(cache)})
        result = theirs / names.phase_dir("image") / "result.json"
        result.parent.mkdir(parents=True)
        write_json(str(result), ["not", "a", "result"])
        subprocess.run(["chown", "-hR", "65534:65534", str(theirs), str(open_folder / "own")], check=True)
    _retention(open_folder, _settings(open_folder, keep_cache_s=HOUR_S)).look()
    assert precious.exists()
    assert not own.exists()


def test_a_kill_in_the_middle_of_removing_is_made_good_by_the_next_look(tmp_path: Path) -> None:
    old = _spool(tmp_path, "old", age_s=2 * HOUR_S)
    for number in range(3000):
        (old / f"f{number}").write_bytes(b"")
    script = (
        "import sys; from pathlib import Path; import structlog; from tests.agent.test_retention import _retention, _settings\n"
        "_retention(Path(sys.argv[1]), _settings(Path(sys.argv[1]), keep_shipped_s=3600.0)).look()"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)]) as process:
        wait_for(lambda: not old.exists(), "the removing")
        process.kill()
    _retention(tmp_path, _settings(tmp_path, keep_shipped_s=HOUR_S)).look()
    assert not list((tmp_path / "spool").iterdir())
