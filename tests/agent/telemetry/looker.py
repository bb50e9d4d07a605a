"""A process that samples when it is told to: each line on its stdin is one sample, told as JSON on its stdout.

Arguments: the spool, the kernel's log. Its sentences for the log are on stderr.
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

from runyard.agent.telemetry.gpus import Gpus
from runyard.agent.telemetry.sampler import Sampler
from runyard.agent.telemetry.xid import KernelLog


def say(sentence: str) -> None:
    """A sentence for the log."""
    print(sentence, file=sys.stderr, flush=True)


def main(spool: Path, kernel_log: str) -> None:
    """Blocks until stdin ends."""
    sampler = Sampler(spool, say, Gpus(say, kernel_log=KernelLog(kernel_log), stuck_after_s=1.5))
    for _ in sys.stdin:
        told = {
            "sample": sampler.sample(),
            "trouble": sampler.trouble,
            "capacity": sampler.capacity(),
            "is_binding_loaded": "pynvml" in sys.modules,
            "threads": threading.active_count(),
        }
        print(json.dumps(told, separators=(",", ":")), flush=True)
    sampler.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
