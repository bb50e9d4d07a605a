"""What failures look like in a log or an exception: one entry each, and what it means for the search for the first one. Pure.

A pattern is looked for in the text of an exception and, where there is none, in the log's last lines. Of several, the one that
stands first in the table counts. docs/verdict.md shows the table; each entry has a test with a realistic text.
"""

# ruff: noqa: E501 - a table
from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

# A reason of its own.
ROOT = "root"
# Another process had gone before: look earlier.
CASCADE = "cascade"
# Another process did not come: look for one that is silent.
WAITING = "waiting"
# Of a text so much is looked at.
MOST_CHARACTERS = 1000
SOME_TIMEOUT = "some-timeout"


@dataclass(frozen=True, slots=True)
class Signature:
    """`says` ends the sentence "rank 3 …"."""

    id: str
    kind: str
    pattern: re.Pattern[str]
    says: str


def _entry(id_: str, kind: str, pattern: str, says: str) -> Signature:
    return Signature(id_, kind, re.compile(pattern), says)


# Hostile bytes must not cost more than their length: nothing in a pattern spans more than some hundred characters.
SIGNATURES: tuple[Signature, ...] = (
    # Waited in vain.
    _entry(
        "barrier-named",
        WAITING,
        r"Ranks? (?P<ranks>\d+(?:, ?\d+)*) failed to pass monitoredBarrier|monitoredBarrier.{0,200}(?:[Tt]imed? ?out|timeout)",
        "waited at a barrier that another rank did not reach",
    ),
    _entry(
        "nccl-watchdog",
        WAITING,
        r"[Ww]atchdog caught collective operation timeout|NCCL watchdog thread terminated|collective operation timeout: WorkNCCL",
        "waited in an NCCL collective that another rank did not join",
    ),
    _entry(
        "gloo-timeout",
        WAITING,
        r"Timed out waiting \d+ms for (?:recv|send) operation|Application timeout caused pair closure|[Gg]loo connect\w* .{0,200}timed? ?out",
        "waited in a gloo collective that another rank did not join",
    ),
    _entry(
        "store-timeout",
        WAITING,
        r"Timed out after \d+ (?:m?s|seconds|milliseconds) waiting for|wait timeout after \d+ ?ms|(?:DistStoreError|TCPStore).{0,200}[Tt]imed? ?out"
        r"|Socket Timeout",
        "waited at torch's store for ranks that did not come",
    ),
    _entry(
        "barrier-timeout",
        WAITING,
        r"(?i)\bbarrier\b.{0,80}\btimed? ?out|\btimed? ?out\b.{0,80}\bbarrier\b",
        "waited at a barrier that another rank did not reach",
    ),
    _entry(
        "deadline-exceeded",
        WAITING,
        r"DEADLINE_EXCEEDED|DeadlineExceededError",
        "waited for another task that did not answer",
    ),
    # Torn from another one.
    _entry(
        "nccl-remote",
        CASCADE,
        r"ncclRemoteError|remote process exit(?:ed|ing) prematurely|NCCL communicator was aborted|ncclCommAbort",
        "lost the other end of an NCCL connection",
    ),
    _entry(
        "store-gone",
        CASCADE,
        r"Failed to (?:recv|send), got \d+ bytes|Did the remote server shutdown or crash|TCPStore.{0,200}(?:closed|reset|Broken pipe)",
        "lost torch's store, which another process keeps",
    ),
    _entry("peer-closed", CASCADE, r"Connection closed by (?:peer|remote)|socket.{0,200}closed by (?:peer|remote)", "lost its peer: it closed the connection"),
    _entry("peer-reset", CASCADE, r"Connection reset by peer|ConnectionResetError", "lost its peer: the connection was reset"),
    _entry("broken-pipe", CASCADE, r"Broken pipe|BrokenPipeError|ConnectionAbortedError", "lost its peer: the connection was gone"),
    _entry("peer-refused", CASCADE, r"Connection refused|ConnectionRefusedError", "found no peer where it should have been"),
    _entry("no-route", CASCADE, r"No route to host|Network is unreachable|Host is down", "could not reach another node"),
    _entry(
        "mpi-lost",
        CASCADE,
        r"(?:ORTE|PRTE|PRRTE) has lost communication|lost connection to (?:its|the) (?:HNP|daemon)|MPI_ABORT was invoked on rank (?P<ranks>\d+)"
        r"|process rank (?P<other>\d+) with PID \d+ on node \S+ exited",
        "was told by MPI of another process's end",
    ),
    _entry(
        "torchrun-closing",
        CASCADE,
        r"Sending process \d+ closing signal SIG[A-Z]+|SignalException: Process \d+ got signal: (?:2|15)",
        "was ended by torchrun after another worker",
    ),
    _entry(
        "tf-peer",
        CASCADE,
        r"UNAVAILABLE: .{0,200}(?:[Tt]ask|[Pp]eer|[Cc]ollective)|[Cc]oordination service.{0,200}(?:unhealthy|disconnected)|Collective ops is aborted",
        "lost another TensorFlow task",
    ),
    _entry("horovod-down", CASCADE, r"Horovod has been shut ?down", "was told by Horovod of another process's end"),
    _entry(
        "slurm-cancelled",
        CASCADE,
        r"(?:STEP|JOB) [\d.]+ .{0,200}CANCELLED|srun: Job step aborted: Waiting up to|slurmstepd: error: .{0,200}task \d+ .{0,200}(?:killed|failed)",
        "was ended by Slurm",
    ),
    # Reasons of their own.
    _entry(
        "cuda-memory",
        ROOT,
        r"CUDA out of memory|torch\.OutOfMemoryError|CUDA_ERROR_OUT_OF_MEMORY|CUBLAS_STATUS_ALLOC_FAILED|HIP out of memory",
        "ran out of GPU memory",
    ),
    _entry("cuda-assert", ROOT, r"device-side assert triggered", "met an assertion on the GPU (often an index that is out of range)"),
    _entry("cuda-address", ROOT, r"illegal memory access was encountered|misaligned address", "touched memory on the GPU that is not its own"),
    _entry("gpu-ecc", ROOT, r"uncorrectable ECC error|CUDA_ERROR_ECC|GPU has fallen off the bus", "met a broken GPU"),
    _entry(
        "cuda-setup",
        ROOT,
        r"no kernel image is available|CUDA driver version is insufficient|No CUDA GPUs are available|invalid device ordinal",
        "could not use the GPU that it was given",
    ),
    _entry("cuda-error", ROOT, r"CUDA error: |CUDNN_STATUS_(?!SUCCESS)\w+|CUBLAS_STATUS_(?!SUCCESS)\w+", "met an error of CUDA"),
    _entry(
        "shared-memory",
        ROOT,
        r"insufficient shared memory|Unexpected bus error encountered in worker",
        "ran out of shared memory (/dev/shm)",
    ),
    _entry(
        "worker-killed",
        ROOT,
        r"DataLoader worker \(pid(?:\(s\))? [\d, ]+\) (?:is killed by signal|exited unexpectedly)",
        "lost a worker of its DataLoader",
    ),
    _entry(
        "host-memory",
        ROOT,
        r"\bMemoryError\b|DefaultCPUAllocator: (?:can't|not enough)|Cannot allocate memory|std::bad_alloc",
        "could get no more memory",
    ),
    _entry("disk-full", ROOT, r"No space left on device|Disk quota exceeded", "found the disk full"),
    _entry("descriptors", ROOT, r"Too many open files", "had too many files open"),
    _entry("threads", ROOT, r"can't start new thread|Resource temporarily unavailable", "could start no more threads or processes"),
    _entry("port-taken", ROOT, r"Address already in use|EADDRINUSE", "found its port taken"),
    _entry("import", ROOT, r"ModuleNotFoundError|ImportError|cannot open shared object file|GLIBC\w*_[\d.]+' not found", "could not load a module"),
    _entry("file-missing", ROOT, r"FileNotFoundError|No such file or directory|NotADirectoryError", "did not find a file"),
    _entry("permission", ROOT, r"PermissionError|Permission denied|Operation not permitted", "was not allowed to do what it tried"),
    _entry("assertion", ROOT, r"\bAssertionError\b|Assertion .{0,200} failed", "met an assertion that does not hold"),
    _entry("interrupt", ROOT, r"\bKeyboardInterrupt\b", "was interrupted"),
    _entry("syntax", ROOT, r"\b(?:SyntaxError|IndentationError)\b", "could not be read as Python"),
    _entry("checkpoint", ROOT, r"Error\(s\) in loading state_dict|PytorchStreamReader failed", "could not load a checkpoint"),
    _entry("shape", ROOT, r"shapes cannot be multiplied|size mismatch|must match the size of tensor", "met tensors whose shapes do not fit"),
    _entry("segfault", ROOT, r"Segmentation fault", "touched memory that is not its own"),
    # Any other time-out may be that of anything: it is weak.
    _entry(SOME_TIMEOUT, WAITING, r"[Tt]imed[ -]out|[Tt]imeout (?:after|of|while|waiting|expired|exceeded|reached)|Timeout(?:Error|Expired|Exception|\b)", "waited in vain"),
)  # fmt: skip


@lru_cache(maxsize=1024)  # thousands of processes often end with the same words
def find(text: str) -> Signature | None:
    """The entry that a text matches, None where none does. What a long line says stands near its beginning."""
    return next((one for one in SIGNATURES if one.pattern.search(text, 0, MOST_CHARACTERS)), None)


def named_ranks(text: str) -> tuple[int, ...]:
    """The ranks that a text itself calls the ones that did not come, or that ended."""
    for one in SIGNATURES:
        if "ranks" not in one.pattern.groupindex:
            continue
        for match in one.pattern.finditer(text):
            words = next((words for words in match.groupdict().values() if words), None)
            if words:
                return tuple(int(word) for word in words.replace(",", " ").split())
    return ()
