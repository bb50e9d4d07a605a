"""What a node starts, ends and tells follows from what it has and what it is to have, in whatever order both came about."""

from __future__ import annotations

import random
from typing import Any

from runyard.agent.daemon.reconcile import LocalRun, Memory, Work, free_gpus, held_by, remembered, status, steps, told, work_of


def _work(*assignments: dict[str, Any], epoch: str = "") -> Work:
    told_epoch = {"epoch": epoch} if epoch else {}  # a collector of an earlier version tells none
    return work_of({"version": 1, "is_drained": False, "assignments": list(assignments)} | told_epoch)


def _assignment(run_id: str, attempt: int = 0, stop: str = "") -> dict[str, Any]:
    return {"run_id": run_id, "attempt": attempt, "node_rank": 0, "node_count": 1, "order": {}, "request": {}, "stop": stop}


def test_nothing_happens_before_the_collector_has_told_what_is_to_be() -> None:
    found = steps([LocalRun("a", 0, "Running")], None, {})
    assert (found.start, found.stop) == ((), ())


def test_what_is_missing_starts_and_what_is_not_assigned_ends() -> None:
    found = steps(
        [LocalRun("kept", 0, "Running"), LocalRun("taken", 0, "Running")], _work(_assignment("kept"), _assignment("new")), {}
    )
    assert [one["run_id"] for one in found.start] == ["new"]
    assert [(key, "has taken the run from this node" in why) for key, why in found.stop] == [(("taken", 0), True)]


def test_an_older_attempt_ends_and_says_which_one_has_its_place() -> None:
    found = steps([LocalRun("a", 0, "Running")], _work(_assignment("a", 2)), {})
    assert [one["attempt"] for one in found.start] == [2]
    assert found.stop == ((("a", 0), "attempt 2 of the run has taken its place"),)


def test_what_is_to_end_is_not_started_and_ends_with_the_collector_s_reason() -> None:
    work = _work(_assignment("here", stop="no more of it"), _assignment("not-here", stop="no more of it"))
    found = steps([LocalRun("here", 0, "Running")], work, {})
    assert (found.start, found.stop) == ((), ((("here", 0), "no more of it"),))


def test_nobody_is_asked_twice_and_what_has_ended_is_not_asked() -> None:
    local = [LocalRun("asked", 0, "Running", is_stopping=True), LocalRun("ended", 0, "Finalizing", is_ended=True)]
    assert steps(local, _work(), {}).stop == ()


def test_what_cannot_be_started_here_is_not_tried_again() -> None:
    assert steps([], _work(_assignment("a")), {("a", 0): "there is no such user"}).start == ()
    assert len(steps([], _work(_assignment("a", 1)), {("a", 0): "there is no such user"}).start) == 1


def test_a_run_that_is_over_is_told_until_the_collector_does_not_count_it_any_more() -> None:
    local = [LocalRun("over", 0, "Completed", is_ended=True, is_over=True), LocalRun("ships", 0, "Finalizing", is_ended=True)]
    assert [one["run_id"] for one in told(local, _work(_assignment("over")))] == ["over", "ships"]
    assert [one["run_id"] for one in told(local, _work())] == ["ships"]


def test_a_node_is_what_its_runs_are() -> None:
    over = LocalRun("over", 0, "Failed", is_ended=True, is_over=True)
    assert status([over], "") == ("Idle", "")
    assert status([over, LocalRun("a", 0, "Provisioning")], "") == ("Preparing", "")
    assert status([LocalRun("a", 0, "Provisioning"), LocalRun("b", 0, "Running")], "") == ("Running", "")
    assert status([], "the disk is full") == ("Unusable", "the disk is full")


def test_what_a_restored_collector_does_not_know_goes_on_and_what_it_knows_ends_as_ever() -> None:
    local = [LocalRun(run_id, 0, "Running") for run_id in ("forgotten", "known", "canceled", "again")]
    canceled, again = _assignment("canceled", stop="no more of it"), _assignment("again", 1)
    work = _work(_assignment("known"), canceled, again, epoch="second")
    memory = remembered(Memory("first"), local, work)
    assert memory == Memory("second", frozenset({("forgotten", 0), ("again", 0)}))
    stopped = dict(steps(local, work, {}, memory.forgotten).stop)
    assert set(stopped) == {("canceled", 0), ("again", 0)}
    # From now on the known one counts again: what is not assigned any more was taken.
    later = _work(epoch="second")
    assert remembered(memory, local, later) == memory
    assert {key for key, _ in steps(local, later, {}, memory.forgotten).stop} == {("known", 0), ("canceled", 0)}


def test_what_was_taken_by_a_collector_with_its_memory_ends_also_where_none_was_told_before() -> None:
    local = [LocalRun("a", 0, "Running")]
    for before, epoch in ((Memory(), "first"), (Memory("first"), "first"), (Memory("first"), "")):
        memory = remembered(before, local, _work(epoch=epoch))
        assert memory == Memory("first")
        assert len(steps(local, _work(epoch=epoch), {}, memory.forgotten).stop) == 1


def test_a_forgotten_run_is_kept_in_mind_until_it_is_over_or_known_again() -> None:
    memory = Memory("second", frozenset({("a", 1)}))
    live, over = LocalRun("a", 1, "Running"), LocalRun("a", 1, "Completed", is_ended=True, is_over=True)
    assert remembered(memory, [live], None) == memory
    assert remembered(memory, [], _work(epoch="second")) == memory  # its folder could not be read for a moment
    assert remembered(memory, [over], _work(epoch="second")) == Memory("second")
    assert remembered(memory, [live], _work(_assignment("a", 1), epoch="third")) == Memory("third")


def test_a_forgotten_run_keeps_others_from_its_node_until_it_is_over() -> None:
    forgotten = frozenset({("a", 0)})
    ships = LocalRun("a", 0, "Finalizing", is_ended=True)
    assert held_by([LocalRun("a", 0, "Running"), LocalRun("b", 0, "Running")], forgotten) == ("a",)
    assert held_by([ships], forgotten) == ("a",)
    assert held_by([LocalRun("a", 0, "Completed", is_ended=True, is_over=True)], forgotten) == ()


def test_no_two_runs_are_given_one_gpu() -> None:
    chance = random.Random(5)
    local: list[LocalRun] = []
    for number in range(200):
        wanted = chance.randrange(4)
        given = free_gpus(8, local, wanted)
        in_use = [gpu for run in local for gpu in run.gpus]
        if given is None:
            assert len(in_use) + wanted > 8
            local.pop(chance.randrange(len(local)))
            continue
        assert len(given) == wanted
        assert not {*given} & {*in_use}
        local.append(LocalRun(f"r{number}", 0, "Running", gpus=given))
