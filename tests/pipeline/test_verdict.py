"""Runs that are made to fail in twenty and more known ways: the verdict names the right process and the right cause."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.cli.scene import runyard
from tests.collector_process import CollectorProcess, running_collector

from .planted import Planted, carry_out, memory_group, planted

# So many runs at a time: more would only wait for the cores.
AT_ONCE = 4


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CollectorProcess]:
    """One for all the runs."""
    environ = {"RUNYARD_COLLECTOR__LOST_CONTACT_S": "6"}
    with running_collector(tmp_path_factory.mktemp("verdicts"), environ=environ) as process:
        yield process


@pytest.fixture(scope="module")
def verdicts(collector: CollectorProcess, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Planted, dict[str, Any]]]:
    """Each planted failure with what the collector says of it."""
    folder = tmp_path_factory.mktemp("planted")
    with memory_group() as group, ThreadPoolExecutor(AT_ONCE) as pool:
        plans = planted(group)
        found = list(pool.map(lambda plan: carry_out(plan, collector, folder / plan.name), plans))
    return list(zip(plans, found, strict=True))


@pytest.mark.timeout(300)
def test_of_the_planted_failures_nearly_all_are_named_and_none_is_wrong_for_certain(
    verdicts: list[tuple[Planted, dict[str, Any]]],
) -> None:
    wrong, wrong_for_certain = [], []
    for plan, verdict in verdicts:
        why = plan.why_wrong(verdict)
        print(f"{'WRONG' if why else 'right'}  {plan.name:<22} {verdict['confidence']:<7} {verdict['sentence']}")
        if why:
            wrong.append(f"{plan.name}: {why}: {verdict}")
            if verdict["confidence"] == "high":
                wrong_for_certain.append(plan.name)
    print(f"{len(verdicts) - len(wrong)} of {len(verdicts)} right")
    assert len(verdicts) >= 20
    assert wrong_for_certain == []
    assert len(wrong) * 20 <= len(verdicts), "\n".join(wrong)


def test_show_ends_with_the_verdict_and_its_places_hold_what_they_say(
    collector: CollectorProcess, verdicts: list[tuple[Planted, dict[str, Any]]]
) -> None:
    verdict = next(found for plan, found in verdicts if plan.name == "rank-3-tears-rank-0")
    shown = runyard(collector, "show", "rank-3-tears-rank-0").stdout.decode()
    assert verdict["sentence"] in shown.partition("Verdict: ")[2]
    traceback = next(one for one in verdict["evidence"] if one["what"] == "traceback")
    target = f"/runs/rank-3-tears-rank-0/files/{traceback['log']}"
    span = f"bytes={traceback['start']}-{traceback['end'] - 1}"
    with collector.client().stream("GET", target, headers={"Range": span}) as response:
        text = response.read().decode()
    assert text.startswith("Traceback (most recent call last):")
    assert text.endswith("ZeroDivisionError: division by zero\n")
    assert [end["rank"] for end in verdict["order"]] != []
    whole = json.loads(runyard(collector, "show", "rank-3-tears-rank-0", "-o", "json").stdout)
    assert whole["verdict"] == verdict
