"""For all specs and all documents: what JSON keeps comes back the same, and what is read is a Spec or one sentence."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.distribution import Distribution
from runyard.errors import InputError
from runyard.spec import Datastore, Environment, Limits, Manager, Resources, Retries, Spec, from_json
from runyard.spec_check import check
from runyard.spec_file import KEYS, load, parse

_texts = st.text(st.characters(codec="utf-8"), max_size=12)
_leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | _texts
_json = st.recursive(
    _leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3), max_leaves=8
)
_options = st.dictionaries(_texts, _json, max_size=3)
_pairs = st.dictionaries(_texts, _texts, max_size=3)
_numbers = st.floats(0, 1e9)


def _made(kind: type[Any], **parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    by_kind = {"str": _texts, "float": _numbers, "int": st.integers(0, 100), "bool": st.booleans(), "Mapping[str, str]": _pairs}
    by_kind |= {"Mapping[str, Any]": _options, "tuple[str, ...]": st.lists(_texts, max_size=3).map(tuple)}
    by_kind |= {"tuple[int, ...]": st.lists(st.integers(0, 100), max_size=3).map(tuple)}
    return st.builds(
        kind, **{item.name: parts[item.name] if item.name in parts else by_kind[str(item.type)] for item in fields(kind)}
    )


specs = _made(
    Spec,
    environment=_made(Environment),
    datastores=st.lists(_made(Datastore), max_size=2).map(tuple),
    context_managers=st.lists(_made(Manager), max_size=2).map(tuple),
    resources=_made(Resources),
    limits=_made(Limits),
    retries=_made(Retries),
    distribution=_made(Distribution),
)


@given(specs)
def test_a_spec_comes_back_from_json_as_it_was(spec: Spec) -> None:
    assert from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_what_json_leaves_out_has_its_default_and_what_it_adds_is_refused() -> None:
    assert from_json({}) == Spec()
    with pytest.raises(TypeError):
        from_json({"sidcar": True})


# Documents of any shape, and documents that are nearly right: the mistakes that a reader would not expect lie close to these.
_anything = st.recursive(
    st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | _texts
    | st.sampled_from(
        [datetime.date(2026, 1, 1), datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC), datetime.time(1, 2)],
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS[""]) | _texts, inner, max_size=3),
    max_leaves=8,
)
_words = st.sampled_from([
    "a", "x", "venv", "host", "container", "auto", "8g", "s3://b", "env:A", "file:x", "2h", "90", ".", "/tmp", "a:B", "r:1",
    "download", "mount", "key", "anon", "Ü", "\n", "../x", "file:///tmp",
])  # fmt: skip
_few = st.lists(_words, max_size=2)
_named = st.dictionaries(_words, _words, max_size=2)
_nested = st.dictionaries(_words, _words | st.integers(0, 9) | st.booleans() | _named | _few, max_size=2)
_counts = st.integers(0, 100)
_RIGHT: dict[str, st.SearchStrategy[Any]] = {
    "command": _few, "tags": _named, "env": _named, "sidecar": st.booleans(), "build_args": _named,
    "requirements": _words | _few,
    "options": _nested | _nested.map(lambda options: {"secrets": options}), "secrets": _named, "timeout": _words | _counts,
    "gpus": _words | _counts, "cpus": _numbers, "driver": _words | _counts, "image": _words, "execution": _counts,
    "preparation": _counts, "release": _words | _counts, "nodes": _counts, "processes_per_node": _counts, "mpi_args": _few,
    "max_restarts": _counts, "parameter_servers": _counts,
    "kind": st.sampled_from(["none", "pytorch", "tensorflow", "mpi", "venv", "host"]),
    "on_failure": st.sampled_from(["wait", "fail-fast", "x"]), "failure_grace": _words | _counts, "rendezvous": _counts,
}  # fmt: skip


def _nearly_right(section: str) -> st.SearchStrategy[dict[str, Any]]:
    """Each key with a value of its kind, and now and then one of any kind."""
    right = st.fixed_dictionaries({}, optional={key: _RIGHT.get(key, _words) for key in KEYS[section] if key not in KEYS})
    wrong = st.dictionaries(st.sampled_from(KEYS[section]) | _texts, _anything, max_size=1)
    return right | right | right | st.builds(lambda one, other: one | other, right, wrong)


_sections = {
    **{section: _nearly_right(section) for section in ("environment", "resources", "limits", "distribution")},
    "retries": st.dictionaries(st.sampled_from(KEYS["retries"]), _counts),
    "datastores": st.dictionaries(_words, _nearly_right("datastores"), max_size=2),
    "context_managers": st.lists(_nearly_right("context_managers"), max_size=2),
}
documents = st.dictionaries(st.sampled_from(KEYS[""]) | _texts, _anything, max_size=4) | st.builds(
    lambda top, sections: {"command": ["true"]} | top | sections,
    _nearly_right(""),
    st.fixed_dictionaries({}, optional=_sections),
)


def checked(spec: Spec) -> Spec:
    check(spec)
    return spec


def outcome(read: Callable[[], Spec]) -> tuple[Spec | None, str]:
    """(the spec, "") or (None, what is told)."""
    try:
        return read(), ""
    except InputError as error:
        return None, str(error)


@given(documents)
def test_any_document_becomes_a_spec_that_json_can_hold_or_one_sentence(document: dict[str, Any]) -> None:
    spec, told = outcome(lambda: checked(parse(document, Path("/nonexistent"))))
    if spec is None:
        assert told
        assert "\n" not in told
    else:
        assert from_json(json.loads(json.dumps(spec.to_json(), allow_nan=False))) == spec


@given(specs)
def test_any_spec_made_by_hand_is_right_or_gets_one_sentence(spec: Spec) -> None:
    assert "\n" not in outcome(lambda: checked(spec))[1]


@given(st.text(max_size=60) | st.binary(max_size=60))
def test_any_bytes_in_a_file_become_a_spec_or_a_sentence_that_names_it(
    tmp_path_factory: pytest.TempPathFactory, content: str | bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content)
    spec, told = outcome(lambda: load(path))
    assert spec is not None or told.startswith(str(path))
