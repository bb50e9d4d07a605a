"""The grammar of filters: what was written is what is read, whatever the names and values; all else is refused."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runyard.mlflow.errors import MlflowError
from runyard.mlflow.evaluate import Facts, like, matches, ordered
from runyard.mlflow.filters import EXPERIMENTS, MODELS, RUNS, Clause, Order, parse_filter, parse_order, parse_orders

_KEYS = st.text(st.characters(exclude_characters="`", exclude_categories=["Cs"]), min_size=1, max_size=12)
_TEXTS = st.text(st.characters(exclude_characters="'", exclude_categories=["Cs"]), max_size=12)
_NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
_SPACES = st.sampled_from([" ", "  ", "\n", "\t "])


def _is_bare(key: str) -> bool:
    """Not what is quoted within the backticks: quotes around a whole key are taken off."""
    return not (len(key) >= 2 and key[0] == key[-1] and key[0] in "'\"")


_CLAUSES = st.one_of(
    st.builds(Clause, st.just("metric"), _KEYS.filter(_is_bare), st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), _NUMBERS),
    st.builds(
        Clause,
        st.sampled_from(["param", "tag"]),
        _KEYS.filter(_is_bare),
        st.sampled_from(["=", "!=", "LIKE", "ILIKE"]),
        _TEXTS,
    ),
    st.builds(
        Clause,
        st.sampled_from(["param", "tag"]),
        _KEYS.filter(_is_bare),
        st.sampled_from(["IS NULL", "IS NOT NULL"]),
        st.none(),
    ),
    st.builds(
        Clause,
        st.just("attribute"),
        st.just("run_id"),
        st.sampled_from(["IN", "NOT IN"]),
        st.lists(st.sampled_from(["a", "b c", "ü"]), min_size=1).map(tuple),
    ),
    st.builds(
        Clause, st.just("dataset"), st.sampled_from(["name", "digest", "context"]), st.sampled_from(["=", "LIKE"]), _TEXTS
    ),
)


def _written(clause: Clause, space: str) -> str:
    key = clause.key if clause.entity in ("attribute", "dataset") else f"`{clause.key}`"
    value: object = clause.value
    if isinstance(value, str):
        value = f"'{value}'"
    elif isinstance(value, tuple):
        value = "(" + ", ".join(f"'{one}'" for one in value) + ")"
    said = clause.comparator.replace(" ", space)
    return f"{clause.entity}.{key}{space}{said}" + ("" if value is None else f"{space}{value!s}")


@given(st.lists(_CLAUSES, max_size=4), _SPACES)
@settings(deadline=None)
def test_a_filter_that_was_written_is_read_as_it_was_meant(clauses: list[Clause], space: str) -> None:
    assert parse_filter(f"{space}AND{space}".join(_written(clause, space) for clause in clauses)) == clauses


@given(st.text(max_size=60) | st.text(alphabet="metricsparamtag.`'\"()<>=!,ANDOR 019-", max_size=60))
@settings(deadline=None)
def test_any_text_is_a_filter_or_is_refused_with_a_sentence(text: str) -> None:
    for language in (RUNS, EXPERIMENTS, MODELS):
        for parse in (parse_filter, parse_order):
            with contextlib.suppress(MlflowError):
                parse(text, language)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("metrics.m > 1 OR metrics.m < 0", "AND"),
        ("metrics.m > '1'", "numeric"),
        ("params.m = 5", "quoted"),
        ("foo.m = 'a'", "entity type 'foo'"),
        ("attributes.bad = 'a'", "'bad'"),
        ("metrics.m LIKE 'a'", "LIKE"),
        ("attributes.run_id IN ()", "non-empty"),
        ("metrics.m", "comparator"),
        ("metrics.m >", "behind >"),
        ("params.m ; 5", "cannot be read"),
    ],
)
def test_the_sentence_names_what_is_wrong(text: str, said: str) -> None:
    with pytest.raises(MlflowError, match=said):
        parse_filter(text)


@pytest.mark.parametrize("text", ["1e-12", "-1E5", "5", "-0.5", ".5", "3.", "1.5e+300"])
def test_a_number_is_read_however_it_is_written(text: str) -> None:
    assert parse_filter(f"metrics.9 < {text}") == [Clause("metric", "9", "<", float(text))]


def test_other_names_of_attributes_mean_the_same() -> None:
    assert parse_filter("`Run name` = 'x'") == parse_filter('attributes.run_name = "x"') == parse_filter("attr.run_name = 'x'")
    assert parse_order("created") == Order("attribute", "start_time", True)
    assert parse_order("metrics.`a b` desc") == Order("metric", "a b", False)
    with pytest.raises(MlflowError, match="duplicate"):
        parse_orders(["metrics.a", "metrics.a DESC"])


def test_nothing_holds_of_nan_but_that_it_is_not_equal() -> None:
    facts = Facts({}, metrics={"m": float("nan")})
    held = [said for said in ("=", "!=", "<", "<=", ">", ">=") if matches([Clause("metric", "m", said, 0.0)], facts)]
    assert held == ["!="]


def test_patterns_tell_capitals_apart_and_ilike_does_not() -> None:
    assert like("a.b\nc", "a_b%")
    assert not like("Ab", "a%")
    assert matches([Clause("tag", "t", "ILIKE", "A%")], Facts({}, tags={"t": "aB"}))
    assert not matches([Clause("tag", "t", "!=", "x")], Facts({}))


@given(st.lists(st.none() | st.floats()), st.booleans())
@settings(deadline=None)
def test_what_has_no_value_comes_last_and_nan_before_it(values: list[float | None], is_ascending: bool) -> None:
    found = ordered(values, [Order("attribute", "x", is_ascending)], lambda value: Facts({"x": value}))
    ranks = [2 if value is None else 1 if value != value else 0 for value in found]
    assert ranks == sorted(ranks)
    numbers = [value for value in found if value is not None and value == value]
    assert numbers == sorted(numbers, reverse=not is_ascending)
