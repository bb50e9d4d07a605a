"""Merging: the streams of six processes, 100 MB each, into the overall logs of their run; and a thousand small streams.

The merger itself, in this process and so on one core, with everything it writes: labels, files, journal. Lines of 100 bytes.
`merge_throughput` has an index record for each 20 ms of a process that writes 1 MB/s, as a capture makes them;
in `merge_by_line` each line has a record of its own and is followed by another process's: the slow case.
"""

from __future__ import annotations

import resource
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from runyard import names, timeindex
from runyard.collector.file_store import FileStore
from runyard.collector.merge.journal import Journal
from runyard.collector.merge.merger import Merger
from runyard.collector.merge.roles import FILES
from runyard.collector.merge.talk import NodeNews, RunNews, StreamNews

from .result import Result

RATE_BAR = 100.0  # MB/s
MEMORY_BAR = 256.0  # MB
STEP_NS = 20_000_000
LINE = b"step %09d loss 0.123456 lr 0.0003 grad_norm 1.2345 tok/s 12345 mem 12.3GB eta 01:02:03 host gpu 00\n"
STREAM_BYTES = 100 * 10**6


def measure(folder: Path, size_bytes: int, rounds: int) -> Iterator[Result]:
    """Yields MB/s of what is read, and peak memory; a smaller `size_bytes` (RUNYARD_BENCH_BYTES) makes the streams shorter."""
    del rounds
    share = min(STREAM_BYTES, size_bytes // 6)
    yield Result("merge_throughput", _merged(folder / "a", 6, share, 200), "MB/s", RATE_BAR, is_floor=True)
    yield Result("merge_memory", _peak_mb(), "MB", MEMORY_BAR)
    yield Result("merge_by_line", _merged(folder / "b", 6, share, 1), "MB/s", None, is_floor=True)
    yield Result("merge_small_streams", _merged(folder / "c", 1000, share * 6 // 1000, 10), "MB/s", None, is_floor=True)
    yield Result("merge_memory_all", _peak_mb(), "MB", None)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _merged(folder: Path, streams: int, stream_bytes: int, lines_at_once: int) -> float:
    """Merges `streams` files of so many bytes, `lines_at_once` lines to an index record; MB for a second of CPU time."""
    root = folder / "runs"
    keys = {kind: f"run/{name}" for kind, name in FILES.items()}
    for key in keys.values():
        (root / key).parent.mkdir(parents=True, exist_ok=True)
        (root / key).touch()
    news = [one for number in range(streams) for one in _stream(root, number, stream_bytes, lines_at_once)]
    journal = Journal(folder / "run.journal")
    journal.begin(keys)
    now_ns = time.time_ns()
    merger = Merger(FileStore(root, 256), journal, 5 * 10**9, now_ns)
    nodes = [NodeNews(f"node-{number}", f"10.77.0.{number}", now_ns, 0, 1000, True) for number in range(streams)]
    started_s = time.process_time()
    merger.take(RunNews("run", keys, news, nodes, ""), now_ns)
    while merger.step(now_ns):
        pass
    elapsed_s = time.process_time() - started_s
    total = sum(one.offset for one in news if not one.name.endswith(names.INDEX_SUFFIX))
    assert merger.is_over
    assert merger.sizes["out"] > total
    shutil.rmtree(folder)
    return total / elapsed_s / 1e6


def _stream(root: Path, number: int, size_bytes: int, lines_at_once: int) -> list[StreamNews]:
    """A driver log and its index on disk."""
    name = names.driver_log(number, 1000)
    log, index = f"run/{number}/{name}", f"run/{number}/{names.index_of(name)}"
    chunk = b"".join(LINE % count for count in range(lines_at_once))
    count = max(1, size_bytes // len(chunk))
    for key in (log, index):
        (root / key).parent.mkdir(parents=True, exist_ok=True)
    with (root / log).open("wb") as file:
        for _ in range(count // 100 + 1):
            file.write(chunk * min(100, count))
    count = (root / log).stat().st_size // len(chunk)
    with (root / index).open("wb") as file:
        for step in range(1, count + 1):
            file.write(timeindex.pack(step * len(chunk), 0, step * STEP_NS + number, timeindex.STDOUT))
    return [
        StreamNews(2 * number, f"node-{number}", name, 0, 0, log, (root / log).stat().st_size, True, []),
        StreamNews(
            2 * number + 1, f"node-{number}", names.index_of(name), 0, 0, index, (root / index).stat().st_size, True, []
        ),
    ]
