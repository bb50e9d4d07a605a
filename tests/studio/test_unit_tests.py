"""The page's own tests, of its pure parts: vitest, as `npm test` in studio/ runs them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.needs_system("node")
@pytest.mark.skipif(not (ROOT / "studio" / "node_modules").is_dir(), reason="Studio is not built; `make studio` builds it")
@pytest.mark.timeout(300)
def test_the_pure_parts_of_the_page_do_what_their_tests_say() -> None:
    argv = ["sh", "tools/build_studio.sh", "test"]
    environ = dict(os.environ) | {"PYTHON": sys.executable}
    done = subprocess.run(argv, cwd=ROOT, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
