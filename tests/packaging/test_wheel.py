"""The wheel holds every module, the web page and nothing else, and works beside packages called agent and collector."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from runyard import __version__
from runyard.cli import VERBS
from tests.packaging.building import ROOT, built, copied, tracked

# Page and widget may have to be built; all tests of the group share what is.
pytestmark = [pytest.mark.timeout(400), pytest.mark.xdist_group("wheel")]

# Folders of the repository, and where they lie in the wheel.
PLACES = {"runyard": "runyard", "agent": "runyard/agent", "collector": "runyard/collector", "systemd": "runyard/systemd"}
# What is built from studio/, and not known to git.
STUDIO = "runyard/collector/static/"
WIDGET = "runyard/widgets/static/"


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which the wheel's content comes first, right behind foreign packages called agent and collector."""
    place = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(place / "site")
    for name in ("agent", "collector"):
        (place / "foreign" / name).mkdir(parents=True)
        (place / "foreign" / name / "__init__.py").write_text(f"raise AssertionError('the foreign {name} was imported')\n")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RUNYARD_")}
    paths = {
        "PYTHONPATH": f"{place / 'foreign'}:{place / 'site'}",
        "HOME": str(place),
        "RUNYARD_SPOOL__DIR": str(place / "spool"),
    }
    return kept | paths


def run(environ: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", *arguments]
    return subprocess.run(command, env=environ, cwd=environ["HOME"], capture_output=True, text=True, timeout=60)


def test_the_wheel_holds_every_tracked_module_and_nothing_else(wheel: Path) -> None:
    expected = set()
    for path in tracked():
        top, _, rest = path.partition("/")
        if top in PLACES and not (ROOT / path).is_symlink():
            expected.add(f"{PLACES[top]}/{rest}")
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if not re.match(r"[^/]+\.(dist-info|data)/", name)}
        held = {name for name in held if not name.startswith((STUDIO, WIDGET))}
    assert held == expected


def test_the_wheel_holds_the_web_page_as_it_is_built_and_nothing_that_it_is_built_from(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        page = archive.read(f"{STUDIO}index.html").decode()
    named = set(re.findall(r'"/(assets/[^"]+)"', page))
    assert named
    assert {f"{STUDIO}{name}{form}" for name in named for form in ("", ".br", ".gz")} <= names
    assert {name for name in names if name.startswith(WIDGET)} == {f"{WIDGET}widget.js"}
    assert not [name for name in names if name.endswith((".ts", ".tsx", "package.json")) or "node_modules" in name]


def test_the_wheel_brings_the_manual(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        pages = {name.rpartition("/")[2] for name in archive.namelist() if "/share/man/" in name}
    assert pages == {"runyard.1", "runyard.toml.5", *(f"runyard-{verb}.1" for verb in VERBS)}


def test_the_source_distribution_holds_everything_that_git_knows_but_studios_modules(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {path for path in tracked() if not (ROOT / path).is_symlink() and path != ".gitignore"}
    assert wanted <= held
    assert not [name for name in held if "node_modules" in name or name.endswith(".pyc")]


def test_a_wheel_without_the_page_is_not_built_and_one_sentence_says_why(tmp_path: Path) -> None:
    copy = copied(tmp_path / "tree")
    (copy / "tools" / "build_studio.sh").unlink()
    done = built(copy, os.environ["PATH"], "--wheel")
    assert done.returncode
    assert "the wheel needs the web page in collector/static" in done.stdout + done.stderr
    assert not list(copy.glob("dist/*.whl"))


def test_what_is_installed_is_the_wheel(installed: dict[str, str]) -> None:
    done = run(installed, "-c", "import runyard.agent.shepherd, runyard.collector.main as m; print(m.__file__)")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{installed['HOME']}/site/runyard/collector/")


def test_the_command_works_beside_foreign_packages_of_our_folders_names(installed: dict[str, str]) -> None:
    done = run(installed, "-m", "runyard", "--version")
    assert (done.stdout, done.stderr) == (f"runyard {__version__}\n", "")


def test_a_run_works_beside_foreign_packages_of_our_folders_names(installed: dict[str, str]) -> None:
    done = run(installed, "-m", "runyard", "run", "--run-id", "wheel-1", "--", "sh", "-c", "echo hello; exit 3")
    assert done.returncode == 3, done.stderr
    assert "hello" in done.stdout
    log = Path(installed["RUNYARD_SPOOL__DIR"]) / "wheel-1/azureml-logs/70_driver_log.txt"
    assert log.read_text() == "hello\n"
