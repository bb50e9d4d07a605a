"""The watch for new files: what comes while it begins is told, and nothing else is said."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

# Folders appear in each root while its watch begins.
RACING = """
import os, sys, threading
from runyard.agent.ship.arrivals import Arrivals
arrivals = Arrivals(sys.argv[1], print)
for number in range(200):
    root = f"{sys.argv[1]}/{number}"
    os.mkdir(root)
    maker = threading.Thread(target=lambda: [os.mkdir(f"{root}/{name}") for name in range(20)])
    maker.start()
    arrivals.watch([str(number)])
    maker.join()
arrivals.close()
"""


def test_folders_that_come_while_a_watch_begins_are_nothing_to_be_told_of(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", RACING, str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
