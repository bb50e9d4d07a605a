"""A data-parallel training on several nodes is one run: a folder for each node's address, one merged view, nothing lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.netns_site import hub_collector, namespaces, needs_namespaces
from tests.training_site import TRAINING_PYTHON, needs_torch

from .launched import launched
from .training import PROGRAM, is_one_run

FLAGS = ("--nproc-per-node", "2", "--distribution", "pytorch", "--rendezvous")


@pytest.mark.row("A4")
@pytest.mark.row("A7")
@pytest.mark.row("A8")
@pytest.mark.row("A15")
@pytest.mark.xdist_group("torch")
@needs_torch
@needs_namespaces
def test_a_training_on_three_nodes_is_one_run(tmp_path: Path) -> None:
    copies = tmp_path / "copies"
    copies.mkdir()
    command = (str(TRAINING_PYTHON), str(PROGRAM), "60", "0.02", str(copies))
    with (
        namespaces(3) as site,
        hub_collector(site, tmp_path) as collector,
        launched(collector, site, tmp_path, FLAGS, command) as run,
    ):
        for name, (code, said) in run.ended().items():
            assert code == 0, f"{name}: {said}"
        is_one_run(run, copies, 6)
