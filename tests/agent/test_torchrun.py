"""A user's own torchrun under `runyard run`: its workers find each other, and their logs are split without a changed word."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from runyard import names
from runyard.agent.torchrun import flags_of
from runyard.agent.worker_logs import LOGS_DIR, variables
from tests.collector_process import CollectorProcess
from tests.training_site import TRAINING_PYTHON, needs_torch

from .node_runs import NodeRun

TRAIN = """
import os, sys
import torch, torch.distributed as dist
dist.init_process_group("gloo")
rank = dist.get_rank()
os.write(1, b"\\xff\\x00 raw %d\\r\\n" % rank)
os.write(2, b"err %d\\n" % rank)
total = torch.ones(1) * (rank + 1)
dist.all_reduce(total)
print("sum", total.item(), sys.argv[1:], flush=True)
dist.destroy_process_group()
os.write(1, b"end of %d" % rank)
"""


def train(tmp_path: Path, *words: str, flags: tuple[str, ...] = (), spool: str = "spool", **env: str) -> NodeRun:
    (tmp_path / "train.py").write_text(TRAIN)
    torchrun = str(TRAINING_PYTHON.parent / "torchrun")
    command = (torchrun, "--nproc-per-node=2", *words, str(tmp_path / "train.py"), "--log-dir", "the-scripts-own")
    return NodeRun(tmp_path / spool, *command, flags=flags, env={"OMP_NUM_THREADS": "1"} | env)


@needs_torch
@pytest.mark.row("A4")
def test_each_worker_has_a_log_of_its_own_and_the_drivers_log_has_their_lines(tmp_path: Path) -> None:
    run = train(tmp_path)
    assert run.complete().returncode == 0
    assert "logs/torchrun" in LOGS_DIR
    for rank in (0, 1):
        (out,) = run.path(LOGS_DIR).glob(f"*/attempt_0/{rank}/stdout.log")
        (err,) = run.path(LOGS_DIR).glob(f"*/attempt_0/{rank}/stderr.log")
        wanted = b"\xff\x00 raw %d\r\nsum 3.0 ['--log-dir', 'the-scripts-own']\nend of %d" % (rank, rank)
        assert out.read_bytes() == wanted
        assert b"err %d\n" % rank in err.read_bytes()
        assert b"[rank %d] sum 3.0" % rank in run.log()
        assert b"[rank %d] err %d\n" % (rank, rank) in run.log()
    assert [line["log"] for line in run.lines(names.PROCESS_INFO)] == [names.driver_log(0, 1)]


@needs_torch
def test_who_says_where_the_workers_logs_go_has_them_there(tmp_path: Path) -> None:
    run = train(tmp_path, "--log_dir", str(tmp_path / "own"), "--redirects", "1")
    assert run.complete().returncode == 0
    assert not run.path(LOGS_DIR).exists()
    assert len(list((tmp_path / "own").glob("*/attempt_0/*/stdout.log"))) == 2
    assert re.search(rb"^err [01]$", run.log(), re.M)


@needs_torch
def test_the_torchruns_of_several_nodes_find_each_other(tmp_path: Path, collector: CollectorProcess) -> None:
    flags = ("--nnodes", "2", "--rendezvous", "30s", "--collector", collector.url, "--node-rank")
    nodes = [train(tmp_path, flags=(*flags, n), spool=f"spool-{n}", RUNYARD_TOKEN=collector.token) for n in ("0", "1")]
    ended = [(node.launch(), node) for node in nodes]
    for process, node in ended:
        _, err = process.communicate(timeout=90)
        assert process.returncode == 0, err
        ranks = node.json(names.RUN_FILE)["ranks"]
        log = node.path(names.driver_log(ranks[0], 2)).read_bytes()
        for rank in (2 * ranks[0], 2 * ranks[0] + 1):
            assert b"[rank %d] sum 10.0" % rank in log


@pytest.mark.parametrize(
    ("command", "is_told"),
    [
        ("torchrun train.py", True),
        ("/venv/bin/torchrun --nproc-per-node 2 --standalone train.py --tee 3 -r 1", True),
        ("nice -n 5 torchrun -m package.train --log-dir x", True),
        ("python3 -u -m torch.distributed.run --nnodes=1 train.py", True),
        ("python -m torch.distributed.launch --use-env --nproc_per_node 2 train.py", True),
        ("torchrun --log-dir d train.py", False),
        ("torchrun --log_dir=d train.py", False),
        ("torchrun -r3 train.py", False),
        ("torchrun -t 3 train.py", False),
        ("torchrun --te 3 train.py", False),
        ("torchrun --logs-specs mine train.py", False),
        ("python train.py --log-dir d", False),
        ("python -m torch.utils.collect_env", False),
    ],
)
def test_torchrun_is_told_unless_it_is_told_already(command: str, is_told: bool) -> None:
    flags = flags_of(command.split())
    assert (flags is not None and bool(variables(flags, {}, "/logs"))) == is_told


@pytest.mark.parametrize("name", ["PET_LOG_DIR", "PET_TEE", "PET_REDIRECTS"])
def test_an_environment_that_says_it_is_left_alone(name: str) -> None:
    assert variables([], {name: "0"}, "/logs") == {}


def test_a_users_own_label_of_the_lines_stays() -> None:
    own = "TORCHELASTIC_LOG_LINE_PREFIX_TEMPLATE"
    assert own not in variables([], {own: "mine"}, "/logs")
