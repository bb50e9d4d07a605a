"""The package, built once, and a node on which it is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.systemd_site import ROOT


@pytest.fixture(scope="session")
def in_memory() -> Iterator[Path]:
    """A folder for thousands of files that live for a moment; some disks take long to remove them."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="runyard-deb-", dir=shared if shared.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def package(in_memory: Path) -> Path:
    """The Debian package of this checkout, by the command of the README."""
    argv = [sys.executable, "tools/make_deb.py", "--out", str(in_memory)]
    environ = os.environ | {"TMPDIR": str(in_memory)}
    done = subprocess.run(argv, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return Path(done.stdout.strip())


@pytest.fixture(scope="session")
def newer_package(package: Path, in_memory: Path) -> Path:
    """The same with a later revision: another version, in other folders."""
    tree = in_memory / "tree"
    subprocess.run(["dpkg-deb", "-R", str(package), str(tree)], check=True)
    build = (tree / "opt/runyard/package/build").read_text().strip()
    control = (tree / "DEBIAN/control").read_text()
    (tree / "DEBIAN/control").write_text(control.replace("-1\nArchitecture", "-2\nArchitecture"))
    for name in ("build", "bin/runyard"):
        path = tree / "opt/runyard/package" / name
        path.write_text(path.read_text().replace(build, f"{build}.2"))
    target = in_memory / "newer.deb"
    argv = ["dpkg-deb", "--root-owner-group", "-Znone", "--build", str(tree), str(target)]
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(tree)
    return target
