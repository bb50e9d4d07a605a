"""Many nodes at once: the simulator of bench/, small, against a real collector. What is timed is in bench/."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.simulate import simulate


@pytest.mark.parametrize("shape", [[], ["--one-run"]], ids=["runs-of-8-nodes", "one-run"])
def test_many_nodes_lose_nothing_and_nothing_comes_twice(tmp_path: Path, shape: list[str]) -> None:
    options = ["--nodes=20", "--seconds=3", "--processes=1", "--followers=6", "--range-readers=2", *shape]
    told = simulate(tmp_path / "data", options)
    assert told["streams"] == 20 * 16
    assert told["visible_lines"] > 0
    wrong = ("lost_bytes", "duplicated_bytes", "differing_streams", "disordered_lines", "unseen_lines")
    assert {name: told[name] for name in wrong} == dict.fromkeys(wrong, 0)
