"""The distributions, built once: the source distribution from a copy of what git knows, the wheel from that distribution."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import pytest

from tests.packaging.building import BUILT, ROOT, built, copied, path_with_node


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what git knows, with page and widget where they are built already, or else with what building them takes."""
    copy = copied(tmp_path_factory.mktemp("tree"))
    for folder in (path.parent for path in map(Path, BUILT)):
        if (ROOT / folder).is_dir():
            shutil.copytree(ROOT / folder, copy / folder)
    modules = ROOT / "studio" / "node_modules"
    if modules.is_dir() and not all((copy / path).is_file() for path in BUILT):
        shutil.copytree(modules, copy / "studio" / "node_modules", symlinks=True)
    return copy


@pytest.fixture(scope="session")
def sdist(tree: Path) -> Path:
    """The source distribution."""
    done = built(tree, path_with_node(), "--sdist")
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = (tree / "dist").glob("*.tar.gz")
    return found


@pytest.fixture(scope="session")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, of the source distribution alone."""
    place = tmp_path_factory.mktemp("sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(place)
    (source,) = place.iterdir()
    done = built(source, "/usr/bin:/bin", "--wheel")
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = (source / "dist").glob("*.whl")
    return found
