"""The table of signatures: each entry knows its text as real programs write it, and docs/verdict.md shows the whole table."""

# ruff: noqa: E501 - texts as they are written

from __future__ import annotations

import re
from pathlib import Path

import pytest

from runyard.collector.verdict import log_words
from runyard.collector.verdict.signatures import SIGNATURES, find, named_ranks

TEXTS = {
    "barrier-named": "RuntimeError: [Rank 0]: Ranks 1, 3 failed to pass monitoredBarrier in 30000 ms",
    "nccl-watchdog": "[rank2]:[E618 10:03:02 ProcessGroupNCCL.cpp:616] [Rank 2] Watchdog caught collective operation timeout:"
    " WorkNCCL(SeqNum=7, OpType=ALLREDUCE, Timeout(ms)=600000) ran for 600014 milliseconds before timing out.",
    "gloo-timeout": "RuntimeError: [../third_party/gloo/gloo/transport/tcp/unbound_buffer.cc:81] Timed out waiting 1800000ms for"
    " recv operation to complete",
    "store-timeout": "torch.distributed.DistStoreError: Timed out after 61 seconds waiting for clients. 1/2 clients joined.",
    "barrier-timeout": "TimeoutError: the barrier of epoch 3 timed out",
    "deadline-exceeded": "tensorflow.python.framework.errors_impl.DeadlineExceededError: Deadline Exceeded",
    "nccl-remote": "torch.distributed.DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:1970, remote process exited or there was a"
    " network error, NCCL version 2.21.5 ncclRemoteError: A call failed possibly due to a network error",
    "store-gone": "torch.distributed.DistNetworkError: Failed to recv, got 0 bytes. Connection was likely closed. Did the remote"
    " server shutdown or crash?",
    "peer-closed": "RuntimeError: [/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer"
    " [10.0.0.7]:43121",
    "peer-reset": "ConnectionResetError: [Errno 104] Connection reset by peer",
    "broken-pipe": "BrokenPipeError: [Errno 32] Broken pipe",
    "peer-refused": "ConnectionRefusedError: [Errno 111] Connection refused",
    "no-route": "OSError: [Errno 113] No route to host",
    "mpi-lost": "mpirun noticed that process rank 2 with PID 4242 on node gpu-3 exited on signal 11 (Segmentation fault).",
    "torchrun-closing": "W0618 10:03:02.123 torch/distributed/elastic/multiprocessing/api.py:897] Sending process 4242 closing signal"
    " SIGTERM",
    "tf-peer": "UNAVAILABLE: Task /job:worker/replica:0/task:1 heartbeat timed out",
    "horovod-down": "horovod.common.exceptions.HorovodInternalError: Horovod has been shut down. This was caused by an exception on one"
    " of the ranks",
    "slurm-cancelled": "slurmstepd: error: *** STEP 42.0 ON gpu-3 CANCELLED AT 2026-06-18T10:03:02 ***",
    "cuda-memory": "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.",
    "cuda-assert": "RuntimeError: CUDA error: device-side assert triggered",
    "cuda-address": "RuntimeError: CUDA error: an illegal memory access was encountered",
    "gpu-ecc": "RuntimeError: CUDA error: uncorrectable ECC error encountered",
    "cuda-setup": "RuntimeError: CUDA error: no kernel image is available for execution on the device",
    "cuda-error": "RuntimeError: cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
    "shared-memory": "ERROR: Unexpected bus error encountered in worker. This might be caused by insufficient shared memory (shm).",
    "worker-killed": "RuntimeError: DataLoader worker (pid 4242) is killed by signal: Killed.",
    "host-memory": "RuntimeError: [enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory: you tried to allocate"
    " 64000000000 bytes.",
    "disk-full": "OSError: [Errno 28] No space left on device: '/checkpoints/7.pt'",
    "descriptors": "OSError: [Errno 24] Too many open files",
    "threads": "RuntimeError: can't start new thread",
    "port-taken": "OSError: [Errno 98] Address already in use",
    "import": "ModuleNotFoundError: No module named 'apex'",
    "file-missing": "FileNotFoundError: [Errno 2] No such file or directory: 'train.csv'",
    "permission": "PermissionError: [Errno 13] Permission denied: '/data/train.csv'",
    "assertion": "AssertionError: the batch is empty",
    "interrupt": "KeyboardInterrupt",
    "syntax": "SyntaxError: invalid syntax (model.py, line 3)",
    "checkpoint": "RuntimeError: Error(s) in loading state_dict for Net:",
    "shape": "RuntimeError: mat1 and mat2 shapes cannot be multiplied (32x128 and 64x10)",
    "segfault": "Fatal Python error: Segmentation fault",
    "some-timeout": "requests.exceptions.ReadTimeout: HTTPSConnectionPool: Read timed out. (read timeout=10)",
}
DOCUMENT = Path(__file__).parents[2] / "docs" / "verdict.md"


@pytest.mark.parametrize("signature", SIGNATURES, ids=lambda signature: signature.id)
def test_a_signature_knows_its_text(signature: object) -> None:
    found = find(TEXTS[signature.id])  # type: ignore[attr-defined]
    assert found is signature, found


@pytest.mark.parametrize(
    "text",
    [
        "ValueError: loss is nan",
        "epoch 3 step 40 loss 0.123 timeout=30 lr 0.1",
        "Connection to the tracker established",
        "ZeroDivisionError: division by zero",
        "saved to /checkpoints/7.pt",
    ],
)
def test_ordinary_lines_have_no_signature(text: str) -> None:
    assert find(text) is None


def test_a_barrier_and_mpirun_name_the_ranks() -> None:
    assert named_ranks(TEXTS["barrier-named"]) == (1, 3)
    assert named_ranks(TEXTS["mpi-lost"]) == (2,)
    assert named_ranks(TEXTS["gloo-timeout"]) == ()


def test_the_document_shows_the_table_as_it_is() -> None:
    rows = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| `")]
    assert rows == [f"| `{one.id}` | {one.kind} | {one.says} |" for one in SIGNATURES]


CHAINED = b"""step 3
Traceback (most recent call last):
  File "train.py", line 4, in <module>
    exchange()
ConnectionResetError: [Errno 104] Connection reset by peer

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "train.py", line 6, in <module>
a line of stdout that came in between
    raise RuntimeError("the step failed") from error
RuntimeError: the step failed
bye
"""


def test_a_chained_traceback_is_told_whole_with_its_first_and_last_exception() -> None:
    found = log_words.read(CHAINED, 1000).traceback
    assert found is not None
    assert (found.first, found.last) == (
        "ConnectionResetError: [Errno 104] Connection reset by peer",
        "RuntimeError: the step failed",
    )
    text = CHAINED[found.passage.start - 1000 : found.passage.end - 1000]
    assert text.startswith(b"Traceback")
    assert text.endswith(b"RuntimeError: the step failed\n")


def test_labelled_lines_as_torch_prints_them_are_a_traceback_too() -> None:
    data = b'x\n[rank1]: Traceback (most recent call last):\n[rank1]:   File "a.py", line 1\n[rank1]: ValueError: no\n'
    found = log_words.read(data, 0).traceback
    assert found is not None
    assert (found.last, found.passage.start, found.passage.end) == ("ValueError: no", 2, len(data))


def test_the_traceback_of_the_exception_that_is_known_is_found_before_a_later_one() -> None:
    data = (
        b"Traceback (most recent call last):\n  File 'a'\nValueError: first\n"
        b"Exception ignored in atexit callback\nTraceback (most recent call last):\n  File 'b'\nOSError: late\n"
    )
    found = log_words.read(data, 0, "ValueError: first").traceback
    assert found is not None
    assert found.last == "ValueError: first"


@pytest.mark.parametrize(
    "data", [b"", b"\n", b"Traceback (most recent call last):", b"Traceback (most recent call last):\n  x", b"\xff\0"]
)
def test_torn_logs_are_read_without_a_fault(data: bytes) -> None:
    log_words.read(data, 5)


def test_no_signature_spans_more_of_a_line_than_some_hundred_characters() -> None:
    """With `.*` twice in it, 8 KiB of a hostile line cost more than a second, in which the collector does nothing else."""
    assert [one.id for one in SIGNATURES if re.search(r"\.[*+]", one.pattern.pattern)] == []


def test_of_a_chain_of_exceptions_without_end_a_bounded_part_is_gone_back() -> None:
    link = b"RuntimeError: %d\n\nDuring handling of the above exception, another exception occurred:\n\n"
    data = b"".join(b"Traceback (most recent call last):\n" + link % number for number in range(2000))
    found = log_words.read(data + b"Traceback (most recent call last):\nValueError: last\n", 0).traceback
    assert found is not None
    assert (found.first, found.last) == ("RuntimeError: 1950", "ValueError: last")
