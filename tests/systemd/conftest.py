"""The package, built once, and a node on which it is installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.systemd_site import ROOT


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Debian package of this checkout, by the command of the README."""
    out = tmp_path_factory.mktemp("deb")
    done = subprocess.run(
        [sys.executable, "tools/make_deb.py", "--out", str(out)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return Path(done.stdout.strip())
