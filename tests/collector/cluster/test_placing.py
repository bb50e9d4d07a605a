"""Who gets which machines: all at once or none, never more than there is, in order, and nobody is starved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import assume, given
from hypothesis import strategies as st

from runyard.collector.cluster.messages import Capacity, Request
from runyard.collector.cluster.placing import Machine, Plan, Wanted, in_order, plan, shortage

SECOND_NS = 10**9
RESERVE_S = 60.0
GB = 1 << 30

capacities = st.builds(
    Capacity, cpus=st.sampled_from([4.0, 8.0, 0.5]), memory_bytes=st.sampled_from([8 * GB, 16 * GB]), gpus=st.integers(0, 4)
)
requests = st.builds(
    Request, gpus=st.integers(0, 3), cpus=st.sampled_from([0.0, 0.1, 2.0, 8.0]), memory_bytes=st.sampled_from([0, GB, 12 * GB])
)


@st.composite
def machine_lists(draw: st.DrawFn) -> list[Machine]:
    """Machines, some of them in use (as a plan has left them), some not usable."""
    made = [
        Machine(f"m{number}", draw(capacities), (), draw(st.integers(0, 9)) > 0) for number in range(draw(st.integers(1, 6)))
    ]
    before = [wanted(f"old{number}", draw(st.integers(1, 2)), draw(requests)) for number in range(draw(st.integers(0, 4)))]
    return with_plan(made, before, plan(before, [replace(one, is_usable=True) for one in made], 0, RESERVE_S))


def wanted(run_id: str, node_count: int, request: Request, priority: int = 0, age_s: float = 0) -> Wanted:
    submitted_ns = int((1000 - age_s) * SECOND_NS)
    return Wanted(run_id, node_count, request, priority, submitted_ns, submitted_ns)


def with_plan(machines: Sequence[Machine], runs: Sequence[Wanted], made: Plan) -> list[Machine]:
    """The machines when the plan is carried out."""
    request_of = {run.run_id: run.request for run in runs}
    new = {machine.node_id: list(machine.taken) for machine in machines}
    for run_id, node_ids in made.placed.items():
        for node_id in node_ids:
            new[node_id].append(request_of[run_id])
    return [replace(machine, taken=tuple(new[machine.node_id])) for machine in machines]


waiting_lists = st.lists(
    st.tuples(st.integers(1, 4), requests, st.integers(-2, 2), st.sampled_from([0, 5, 61, 600])), max_size=8
).map(lambda rows: [wanted(f"r{number}", *row) for number, row in enumerate(rows)])

NOW_NS = 1000 * SECOND_NS


@given(machine_lists(), waiting_lists)
def test_a_run_gets_all_its_machines_or_none_and_no_machine_more_than_it_has(
    machines: list[Machine], waiting: list[Wanted]
) -> None:
    made = plan(waiting, machines, NOW_NS, RESERVE_S)
    assert made.placed.keys() | made.waits_for.keys() == {run.run_id for run in waiting}
    assert not made.placed.keys() & made.waits_for.keys()
    usable = {machine.node_id for machine in machines if machine.is_usable}
    for run in waiting:
        if run.run_id in made.placed:
            node_ids = made.placed[run.run_id]
            assert len(set(node_ids)) == len(node_ids) == run.node_count
            assert usable.issuperset(node_ids)
    for machine in with_plan(machines, waiting, made):
        taken, has = machine.taken, machine.capacity
        assert sum(one.gpus for one in taken) <= has.gpus
        assert round(sum(one.cpus for one in taken), 6) <= has.cpus
        assert sum(one.memory_bytes for one in taken) <= has.memory_bytes
        assert len(taken) < 2 or not any(one.is_exclusive for one in taken)


@given(machine_lists(), waiting_lists)
def test_who_is_first_and_could_start_does_and_nobody_is_passed_over_for_a_later_one(
    machines: list[Machine], waiting: list[Wanted]
) -> None:
    made = plan(waiting, machines, NOW_NS, RESERVE_S)
    if waiting:
        first = min(waiting, key=in_order)
        free = [one for one in machines if one.is_usable and one.is_free_for(first.request)]
        assert (first.run_id in made.placed) == (len(free) >= first.node_count)
    # What comes later changes nothing for those before it.
    in_turn = sorted(waiting, key=in_order)
    for count in range(len(in_turn)):
        fewer = plan(in_turn[:count], machines, NOW_NS, RESERVE_S)
        assert {run_id: made.placed.get(run_id) for run_id in fewer.placed} == fewer.placed
    # Nothing that could run is left waiting while nothing is kept for anybody.
    after = with_plan(machines, waiting, made)
    if not any(NOW_NS - run.queued_ns >= RESERVE_S * SECOND_NS for run in waiting):
        for run in waiting:
            free = [one for one in after if one.is_usable and one.is_free_for(run.request)]
            assert run.run_id in made.placed or len(free) < run.node_count


@given(st.data())
def test_a_wide_run_starts_although_small_ones_never_stop_coming(data: st.DataObject) -> None:
    capacity = Capacity(cpus=4.0, memory_bytes=16 * GB, gpus=4)
    count = data.draw(st.integers(2, 5))
    machines = {f"m{number}": Machine(f"m{number}", capacity) for number in range(count)}
    wide = wanted(
        "wide",
        data.draw(st.integers(1, count)),
        data.draw(st.sampled_from([Request(), Request(cpus=4.0), Request(gpus=3, cpus=1.0)])),
    )
    ends: dict[str, list[tuple[int, Request]]] = {node_id: [] for node_id in machines}
    waiting: list[Wanted] = []
    for step in range(200):
        now_ns = NOW_NS + step * 10 * SECOND_NS
        for node_id, running in ends.items():
            ends[node_id] = [(end, request) for end, request in running if end > step]
            machines[node_id] = replace(machines[node_id], taken=tuple(request for _, request in ends[node_id]))
        while len(waiting) < 3 * count:
            small = Request(cpus=data.draw(st.sampled_from([1.0, 2.0])), gpus=data.draw(st.integers(0, 2)))
            waiting.append(replace(wanted(f"s{step}-{len(waiting)}", 1, small), submitted_ns=now_ns, queued_ns=now_ns))
        made = plan([*waiting, wide] if step else waiting, list(machines.values()), now_ns, RESERVE_S)
        if "wide" in made.placed:
            return
        for run in list(waiting):
            if run.run_id in made.placed:
                waiting.remove(run)
                ends[made.placed[run.run_id][0]].append((step + data.draw(st.integers(1, 4)), run.request))
        # It has waited for 60 s after 6 steps, and whatever then runs ends within 4.
        assert step < 12, made.waits_for


@given(machine_lists(), waiting_lists)
def test_every_run_of_the_queue_starts_in_the_end(machines: list[Machine], waiting: list[Wanted]) -> None:
    machines = [replace(one, is_usable=True, taken=()) for one in machines]
    possible = [run for run in waiting if not shortage("c", run.node_count, run.request, [one.capacity for one in machines])]
    assume(possible)
    for step in range(len(possible)):
        made = plan(possible, machines, NOW_NS + step * 600 * SECOND_NS, RESERVE_S)  # each time all that ran has ended
        assert made.placed
        possible = [run for run in possible if run.run_id not in made.placed]
        if not possible:
            return
    raise AssertionError(possible)


def test_a_run_starts_nowhere_while_something_of_its_earlier_attempt_is_left() -> None:
    machines = [Machine("m0", Capacity(cpus=1, memory_bytes=GB)), Machine("m1", Capacity(cpus=1, memory_bytes=GB))]
    run = replace(wanted("r", 1, Request()), keep_off=("host1",))
    made = plan([run, wanted("next", 2, Request())], machines, NOW_NS, RESERVE_S)
    assert made.placed == {"next": ("m0", "m1")}
    assert "host1" in made.waits_for["r"]


def test_a_full_machine_is_filled_up_before_an_empty_one_is_begun() -> None:
    capacity = Capacity(cpus=4, memory_bytes=GB)
    machines = [Machine("m0", capacity), Machine("m1", capacity, (Request(cpus=1),))]
    assert plan([wanted("r", 1, Request(cpus=1))], machines, NOW_NS, RESERVE_S).placed == {"r": ("m1",)}


def test_what_a_run_waits_for_is_told() -> None:
    capacity = Capacity(cpus=4, memory_bytes=GB, gpus=2)
    machines = [Machine("m0", capacity, (Request(),)), Machine("m1", capacity, is_usable=False), Machine("m2", capacity)]
    asked = wanted("r", 3, Request(gpus=2), age_s=10)
    words = plan([asked], machines, NOW_NS, RESERVE_S).waits_for["r"]
    assert words == "3 nodes with 2 GPUs: 1 of 3 free now, 1 cannot be used"
    both = plan([wanted("r", 2, Request(), age_s=100)], machines, NOW_NS, RESERVE_S)
    assert both.waits_for["r"].endswith("nodes are kept for it")
