"""The quick JSON is JSON: it says and takes what the json module says and takes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard import quick_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)


@given(VALUES)
def test_it_says_what_json_says_and_takes_it_back(value: object) -> None:
    text = quick_json.dumps(value)
    assert text == json.dumps(value, separators=(",", ":"))
    assert quick_json.loads(text.encode()) == value
    assert quick_json.loads(json.dumps(value, indent=2).encode() + b"\n") == value


@given(st.binary(max_size=60))
def test_what_json_refuses_it_refuses(text: bytes) -> None:
    try:
        value = json.loads(text.decode())
    except ValueError:
        with pytest.raises(ValueError):  # noqa: PT011 - json's and UTF-8's own are both of this kind
            quick_json.loads(text)
    else:
        assert repr(quick_json.loads(text)) == repr(value)


def test_what_json_does_not_have_is_an_error() -> None:
    with pytest.raises(TypeError):
        quick_json.dumps({"a": object()})


def test_the_shepherd_loads_neither_json_nor_re_nor_enum() -> None:
    root = str(Path(quick_json.__file__).parents[1])
    script = f"import sys; sys.path.append({root!r}); import runyard.agent.shepherd; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"json", "re", "enum", "signal", "typing", "pathlib", "dataclasses", "subprocess"} & set(loaded)
