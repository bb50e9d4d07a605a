"""A training that talks until its node's file `enough` is there, and keeps a copy of what it has said; it ends with 7.

Run by the nodes' own Python, in a folder where everybody may write.
"""

import os
import sys
import time
from pathlib import Path

rank = os.environ["RUNYARD_RANK"]
with Path(f"/srv/talk/said.{rank}").open("wb", buffering=0) as copy:
    number = 0
    while not Path("/srv/talk/enough").exists():
        line = f"rank {rank} of {os.environ['RUNYARD_WORLD_SIZE']}: step {number} \u00fc\u2713 {'#' * (number % 97)}\r".encode()
        line += b"\n" * (number % 3)
        os.write(1, line)
        copy.write(line)
        number += 1
        time.sleep(0.002)
sys.exit(7)
