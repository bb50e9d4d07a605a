"""A venv is built once from its requirements, says so in 20, and a build that fails or is killed leaves none behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runyard.agent import proctree
from runyard.agent.phases import venv_key
from runyard.spec import VENV, Environment, Spec
from tests.agent.phases.phase_run import PhaseRun
from tests.agent.phases.wheels import SlowPackage, make_wheel
from tests.waiting import wait_for

OFFLINE = "--no-index\n--find-links ./wheels\n"
_UV = shutil.which("uv", path=os.pathsep.join([os.environ.get("PATH", ""), str(Path(sys.executable).parent)])) or ""
_OWN = {"PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": "", "UV_NO_CONFIG": "1", "UV_FIND_LINKS": ""}
ONLY_PIP = _OWN | {"PATH": os.defpath}
WITH_UV = _OWN | {"PATH": f"{Path(_UV).parent}{os.pathsep}{os.defpath}"}
INSTALLERS = {"pip": ONLY_PIP, "uv": WITH_UV}


@pytest.fixture(params=["pip", pytest.param("uv", marks=pytest.mark.needs_system("uv"))])
def installer(request: pytest.FixtureRequest) -> dict[str, str]:
    """The environment of a node that has pip alone, or uv as well."""
    if request.param == "uv" and not _UV:
        pytest.skip("needs_system(uv): not installed, neither on the PATH nor in the venv")
    return INSTALLERS[request.param]


class Place:
    """A folder with wheels and requirements, and the runs that use them."""

    def __init__(self, folder: Path, environ: dict[str, str]) -> None:
        self.folder = folder
        self.cache_dir = folder / "cache"
        self.environ = environ | {"UV_CACHE_DIR": str(folder / "uv")}
        self._runs = 0
        make_wheel(folder / "code/wheels", "alpha", "1.0", requires=("beta>=1",))
        make_wheel(folder / "code/wheels", "beta", "1.2")

    def run(self, requirements: str, **environment: Any) -> PhaseRun:
        """A new run with these requirements."""
        self._runs += 1
        kind = Environment(kind=VENV, requirements=requirements, requirements_dir=str(self.folder / "code"), **environment)
        run_dir = self.folder / f"spool/run{self._runs}-{self.folder.name}"
        return PhaseRun(run_dir, Spec(environment=kind), cache_dir=self.cache_dir, environ=self.environ)

    def venvs(self) -> list[Path]:
        """What lies in the cache."""
        return sorted(path for path in (self.cache_dir / "venvs").glob("*") if path.is_dir())


@pytest.fixture
def place(tmp_path: Path, installer: dict[str, str]) -> Place:
    """A place whose runs have the installer at hand."""
    return Place(tmp_path, installer)


@pytest.fixture
def pip_place(tmp_path: Path) -> Place:
    """A place whose runs have pip."""
    return Place(tmp_path, ONLY_PIP)


@pytest.fixture
def quick_place(tmp_path: Path) -> Place:
    """For what is the same whatever installs: uv, where it is, takes a twentieth of the time."""
    return Place(tmp_path, WITH_UV if _UV else ONLY_PIP)


def says(python: str, code: str) -> str:
    return subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_requirements_are_installed_and_20_ends_with_the_key_and_what_was_resolved(place: Place) -> None:
    place.environ["SOME_TOKEN"] = "hunter2-hunter2"
    make_wheel(place.folder / "code/wheels", "beta", "2.0")
    run = place.run(OFFLINE + "alpha\n", constraints="beta<2\n")
    data = run.done("image")
    assert data["is_built"] is True
    assert "hunter2" not in run.log() + run.image_log()
    assert says(f"{data['path']}/python", "import alpha, beta, sys; print(alpha.VERSION, beta.VERSION, sys.prefix)") == (
        f"1.0 1.2 {data['env']['VIRTUAL_ENV']}"
    )
    end = [line.split(maxsplit=2)[2] for line in run.image_log().splitlines()[-4:]]
    assert end == ["The venv is built. Resolved versions:", "alpha==1.0", "beta==1.2", f"cache key: {data['key']}"]
    assert "20_image_build_log.txt" in run.log()
    assert "alpha==1.0" not in run.log()


def test_an_unchanged_environment_is_not_built_again(quick_place: Place) -> None:
    first = quick_place.run(OFFLINE + "alpha\n").done("image")
    again = quick_place.run(OFFLINE + "alpha\n")
    data = again.done("image")
    assert data == first | {"is_built": False}
    assert not again.has_image_log
    assert f"The cached environment is used: the venv {data['key']}" in again.log()
    assert len(quick_place.venvs()) == 1


def test_two_runs_at_the_same_time_build_once(quick_place: Place) -> None:
    slow = SlowPackage(quick_place.folder / "code/slow")
    runs = [quick_place.run("--no-index\n./slow\n") for _ in range(2)]
    with runs[0].started("image") as first:
        wait_for(lambda: slow.has_begun, "the first build")
        with runs[1].started("image") as second:
            wait_for(lambda: "Another run builds the venv" in runs[1].log(), "the second run's waiting")
            slow.let_go()
            first.wait(60)
            second.wait(60)
    results = [run.result("image")["data"] for run in runs]
    assert [result["is_built"] for result in results] == [True, False]
    assert [run.has_image_log for run in runs] == [True, False]
    assert results[0]["path"] == results[1]["path"]


def test_all_that_a_venv_is_made_from_is_in_its_key_and_nothing_else(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "beta", "1.2")
    project = SlowPackage(tmp_path / "slow")
    python = venv_key.interpreter("")
    other_python = replace(python, identity=("3.0.0", *python.identity[1:]))
    plain = Environment(kind=VENV, requirements=f"./{wheel.name}\n-e ./slow\n", requirements_dir=str(tmp_path))

    key = venv_key.of(plain, python)
    assert venv_key.of(replace(plain, requirements=plain.requirements + "alpha\n"), python) != key
    assert venv_key.of(replace(plain, constraints="beta<2\n"), python) != key
    assert venv_key.of(plain, other_python) != key

    (project.folder / "code.py").touch()  # of an editable project, which is read where it lies
    assert venv_key.of(plain, python) == key
    (project.folder / "pyproject.toml").write_text("[project]\n")
    assert venv_key.of(plain, python) != key

    whole = replace(plain, requirements="./slow\n")
    key = venv_key.of(whole, python)
    (project.folder / "build").mkdir()
    (project.folder / "build/lib.py").touch()
    assert venv_key.of(whole, python) == key
    (project.folder / "more.py").touch()
    assert venv_key.of(whole, python) != key

    key = venv_key.of(plain, python)
    make_wheel(tmp_path, "beta", "1.2", size_bytes=10)
    assert venv_key.of(plain, python) != key


def test_requirements_that_cannot_be_resolved_fail_with_the_installers_words(place: Place) -> None:
    place.environ["COLUMNS"] = "40"
    run = place.run(OFFLINE + "nosuch==9\n")
    result = run.complete("image")
    assert result["result"] == "failed"
    assert result["cause"].startswith("the requirements cannot be installed: No ")
    assert "nosuch==9" in result["cause"]
    assert result["log"] == "azureml-logs/20_image_build_log.txt"
    assert "nosuch" in run.image_log()
    assert place.venvs() == []


def test_requirements_that_contradict_each_other_fail_with_what_is_in_conflict(place: Place) -> None:
    make_wheel(place.folder / "code/wheels", "gamma", "1", requires=("beta<1",))
    cause = place.run(OFFLINE + "alpha\ngamma\n").failed("image")
    assert "conflicting dependencies" in cause or "we can conclude that" in cause or "depend on beta" in cause
    assert str(place.folder) not in cause
    assert "https://" not in cause


@pytest.mark.parametrize(
    ("python", "sentence"),
    [
        ("python9.9", "environment.python: python9.9 is not on this node; name a Python by its path, or one on the PATH"),
        ("/bin/true", "environment.python: /bin/true is no Python 3 (exit code 0)"),
    ],
)
def test_a_python_that_is_none_is_said_so(quick_place: Place, python: str, sentence: str) -> None:
    run = quick_place.run("alpha\n", python=python)
    assert run.failed("image") == sentence
    assert not run.has_image_log


def test_a_build_that_was_killed_is_begun_anew(pip_place: Place) -> None:
    slow = SlowPackage(pip_place.folder / "code/slow")
    run = pip_place.run("--no-index\n./slow\n")
    with run.started("image") as process:
        wait_for(lambda: slow.has_begun, "the build")
        pip = next(pid for pid in proctree.descendants(process.pid) if proctree.parent(pid) == process.pid)
        ticks = proctree.start_ticks(pip)
        assert ticks is not None
        process.kill()
        wait_for(lambda: not proctree.is_running(pip, ticks), "pip's end, which comes with the phase's")
    slow.let_go()
    run.wait_for_end_of_tools()
    data = run.done("image")
    assert data["is_built"] is True
    assert run.image_log().count("Building a venv") == 2
    assert says(f"{data['path']}/python", "import slow; print(slow.VERSION)") == "1.0"


def test_a_cancel_ends_the_build_with_all_it_has_started_and_removes_half_the_venv(pip_place: Place) -> None:
    slow = SlowPackage(pip_place.folder / "code/slow")
    run = pip_place.run("--no-index\n./slow\n")
    with run.started("image") as process:
        wait_for(lambda: slow.has_begun, "the build")
        tools = [(pid, proctree.start_ticks(pid)) for pid in proctree.descendants(process.pid)]
        assert len(tools) >= 2  # pip, and the package's build
        run.cancel()
        process.wait(30)
    assert run.result("image")["result"] == "canceled"
    assert not [pid for pid, ticks in tools if ticks and proctree.is_running(pid, ticks)]
    assert pip_place.venvs() == []


def test_a_venv_whose_python_has_gone_is_built_again(quick_place: Place) -> None:
    first = quick_place.run("--no-index\n./wheels/beta-1.2-py3-none-any.whl\n").done("image")
    Path(first["path"], "python").unlink()
    again = quick_place.run("--no-index\n./wheels/beta-1.2-py3-none-any.whl\n").done("image")
    assert again["is_built"] is True
    assert says(f"{again['path']}/python", "import beta; print(beta.VERSION)") == "1.2"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk on which an empty venv has room, and little more."""
    folder = tmp_path / "small"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("needs_system(mount): a tmpfs cannot be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.needs_system("mount")
def test_a_full_disk_is_the_cause_and_has_room_again_afterwards(pip_place: Place, small_disk: Path) -> None:
    make_wheel(pip_place.folder / "code/wheels", "large", "1.0", size_bytes=24 << 20)
    pip_place.cache_dir = small_disk
    run = pip_place.run(OFFLINE + "large\n")
    cause = run.failed("image")
    assert "No space left on device" in cause
    assert str(small_disk) in cause
    assert pip_place.venvs() == []
    assert shutil.disk_usage(small_disk).free > 20 << 20
