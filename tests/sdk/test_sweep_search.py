"""What a sweep tries: draws that repeat, grids that are whole, rungs that keep the best."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.errors import InputError
from runyard.sdk import sweep_search, sweep_space
from runyard.sdk.sweep_search import Direction, Outcome, Search
from runyard.sdk.sweep_space import Distribution, Value, choice, loguniform, normal, quniform, randint, uniform

SPACE: dict[str, object] = {"lr": loguniform(1e-5, 0.1), "layers": [2, 4], "width": quniform(16, 64, 16), "seed": randint(5)}
NUMBERS = st.floats(-1e6, 1e6)


def all_at_once(search: Search) -> list[dict[str, Value]]:
    return [dict(trial.params) for trial in search.ready({}, "minimize")]


def test_a_grid_is_every_combination_once_in_order() -> None:
    trials = sweep_search.grid({"lr": [0.1, 0.01], "layers": choice(1, 2), "kind": "sgd"}).ready({}, "minimize")
    assert [(trial.number, tuple(trial.params.values())) for trial in trials] == [
        (0, (0.1, 1, "sgd")),
        (1, (0.1, 2, "sgd")),
        (2, (0.01, 1, "sgd")),
        (3, (0.01, 2, "sgd")),
    ]


def test_draws_repeat_with_their_seed_and_differ_without() -> None:
    drawn = all_at_once(sweep_search.random(SPACE, 50, seed=7))
    assert drawn == all_at_once(sweep_search.random(SPACE, 50, seed=7))
    assert drawn[:20] == all_at_once(sweep_search.random(SPACE, 20, seed=7))
    assert drawn != all_at_once(sweep_search.random(SPACE, 50, seed=8))
    assert len({repr(params) for params in drawn}) == 50
    assert {params["layers"] for params in drawn} == {2, 4}
    assert {params["width"] for params in drawn} == {16, 32, 48, 64}
    assert {params["seed"] for params in drawn} == {0, 1, 2, 3, 4}
    rates = sorted(float(params["lr"]) for params in drawn)
    assert rates[0] < 1e-4
    assert rates[-1] > 1e-2  # by the logarithm, so that small ones are not one in ten thousand
    # What a sweep of an earlier version has drawn, it draws again.
    assert drawn[0] == {"lr": pytest.approx(0.004363619303), "layers": 4, "width": 32, "seed": 2}


@given(low=NUMBERS, spread=st.floats(0, 1e6), q=st.floats(0.01, 100), seed=st.integers())
def test_what_is_drawn_lies_within_the_bounds(low: float, spread: float, q: float, seed: int) -> None:
    source, high = Random(seed), low + spread
    assert low <= float(uniform(low, high).draw(source)) <= high
    multiple = float(quniform(low, high, q).draw(source))
    assert low - q / 2 - 1e-6 <= multiple <= high + q / 2 + 1e-6
    assert math.isclose(multiple / q, round(multiple / q), abs_tol=1e-6)
    assert 1e-3 <= float(loguniform(1e-3, 1e-3 + spread).draw(source)) <= 1e-3 + spread
    assert isinstance(normal(low, spread).draw(source), float)
    assert choice("a", True, 3).draw(source) in ("a", True, 3)


@given(
    count=st.integers(1, 40),
    factor=st.integers(2, 5),
    most=st.integers(1, 100),
    direction=st.sampled_from(["minimize", "maximize"]),
    values=st.lists(st.one_of(st.none(), st.integers(0, 9).map(float)), min_size=200, max_size=200),
    failed=st.sets(st.integers(0, 60)),
    order=st.randoms(use_true_random=False),
)
def test_halving_takes_the_best_of_each_rung_along_whatever_the_order_in_which_they_end(
    count: int, factor: int, most: int, direction: Direction, values: list[float | None], failed: set[int], order: Random
) -> None:
    search = sweep_search.successive_halving({"lr": uniform(0, 1)}, count, "epochs", 1, most, factor, seed=3)
    outcomes: dict[int, Outcome] = {}
    rungs: list[list[int]] = []
    origin: dict[int, int | None] = {}
    while started := search.ready(outcomes, direction):
        rungs.append([trial.number for trial in started])
        assert {trial.params["epochs"] for trial in started} == {factor ** (len(rungs) - 1)}
        origin |= {trial.number: trial.promoted for trial in started}
        order.shuffle(started)
        for trial in started:
            outcomes[trial.number] = Outcome(is_over=False)
        for trial in started:
            assert search.ready(outcomes, direction) == []  # the rung is not over
            outcomes[trial.number] = Outcome(True, trial.number not in failed, values[trial.number])
    assert rungs[0] == [*range(count)]
    assert len({number for rung in rungs for number in rung}) == sum(map(len, rungs))
    size = count
    sign = 1 if direction == "minimize" else -1
    for rung, after in zip(rungs, [*rungs[1:], []], strict=True):
        size = max(1, size // factor)
        ranked = sorted((sign * value, n) for n in rung if n not in failed and (value := values[n]) is not None)
        is_last = factor ** (rungs.index(rung) + 1) > most
        assert [origin[number] for number in after] == ([] if is_last else [number for _, number in ranked[:size]])


def test_a_promoted_trial_has_the_parameters_of_the_one_it_comes_from() -> None:
    search = sweep_search.successive_halving({"lr": uniform(0, 1)}, 9, "--epochs", 2, 20, 3)
    first = {trial.number: trial for trial in search.ready({}, "maximize")}
    outcomes = {number: Outcome(True, True, float(number)) for number in first}
    second = search.ready(outcomes, "maximize")
    assert [(trial.number, trial.promoted) for trial in second] == [(9, 8), (10, 7), (11, 6)]
    assert [trial.params for trial in second] == [{"lr": first[n].params["lr"], "--epochs": 6} for n in (8, 7, 6)]


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: loguniform(-6, -1), "the values themselves"),
        (lambda: uniform(2, 1), "the lower one first"),
        (lambda: uniform(0, math.inf), "two finite numbers"),
        (lambda: quniform(0, 1, 0), "a number above 0"),
        (lambda: randint(0), "a whole number above 0"),
        (lambda: choice(), "one option or more"),
        (lambda: choice([1], [2]), r"numbers, texts, True and False, not \[1\]"),
        (lambda: sweep_search.grid({}), "a dict of parameters"),
        (lambda: sweep_search.grid({"lr": uniform(0, 1)}), "give 'lr' a list or a choice, not uniform"),
        (lambda: sweep_search.grid({f"p{n}": [1, 2] for n in range(14)}), "16384 combinations"),
        (lambda: sweep_search.grid({"--lr": [1], "lr": [2]}), "have one name"),
        (lambda: sweep_search.grid({"a b": [1]}), "'a b' is no name of a parameter"),
        (lambda: sweep_search.random({"lr": [1]}, 0), "from 1 to 10000 trials, not 0"),
        (lambda: sweep_search.successive_halving({"epochs": [1]}, 3, "--epochs"), "the budget and a parameter"),
        (lambda: sweep_search.successive_halving({"lr": [1]}, 3, "epochs", 4, 2), "most_budget is a whole number of 4 or more"),
    ],
)
def test_what_cannot_be_searched_is_refused_with_a_sentence(make: object, sentence: str) -> None:
    assert callable(make)
    with pytest.raises(InputError, match=sentence):
        make()


def test_a_description_tells_searches_apart_and_is_json() -> None:
    import json

    searches = [
        sweep_search.grid({"lr": [1, 2]}),
        sweep_search.random({"lr": [1, 2]}, 3),
        sweep_search.random({"lr": [1, 2]}, 3, seed=1),
        sweep_search.successive_halving({"lr": [1, 2]}, 3, "epochs"),
        sweep_search.successive_halving({"lr": [1, 2]}, 3, "epochs", factor=2),
    ]
    assert len({json.dumps(search.to_json()) for search in searches}) == len(searches)
    assert isinstance(sweep_space.checked({"lr": 3})["lr"], Distribution)
