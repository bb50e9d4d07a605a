"""An MPI program: prints a sum over all ranks on each.

Its words say what happens then: `exit 7 3` and `kill 11 2` (code or signal, rank), `wait FILE`, `stay FILE` (whatever SIGTERM).
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from mpi4py import MPI

world = MPI.COMM_WORLD
total = world.allreduce(world.rank)
print(f"rank {world.rank} of {world.size}: sum {total}, as {os.environ['RUNYARD_RANK']}", flush=True)
print(f"stderr of {world.rank}", file=sys.stderr, flush=True)
world.barrier()
what, *numbers = sys.argv[1:] or ["end"]
if what in ("exit", "kill"):
    if world.rank == int(numbers[1]):
        if what == "exit":
            os._exit(int(numbers[0]))
        os.kill(os.getpid(), int(numbers[0]))
    time.sleep(60)
if what == "stay":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if what in ("wait", "stay"):  # until a file is there
    while not Path(numbers[0]).exists():
        time.sleep(0.02)
    print(f"rank {world.rank}: sum {world.allreduce(world.rank)} again", flush=True)
