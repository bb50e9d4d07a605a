"""When a run has a scope, and what is in it; test_scope_booted.py has one under systemd."""

from __future__ import annotations

from pathlib import Path

import pytest

from runyard.agent.daemon.scope import Starter, scope_words
from runyard.errors import ConfigError


def test_scopes_that_are_asked_for_and_cannot_be_are_told() -> None:
    if Path("/run/systemd/system").is_dir():
        pytest.skip("systemd runs here")
    with pytest.raises(ConfigError, match=r"agent\.scopes is 'on', and systemd does not run here"):
        Starter("on")
    assert not Starter("auto").is_scoped


def test_a_scope_has_the_limits_of_the_run_and_none_where_it_asked_for_the_node() -> None:
    run = {"placement": {"request": {"cpus": 1.5, "memory_bytes": 1 << 30, "gpus": 1}}}
    words = scope_words("r~1", run, 1000, 2)
    assert {"--unit=runyard-run-r-1-2", "--property=MemoryMax=1073741824", "--property=CPUQuota=150%", "--uid=1000"} < {*words}
    assert not [word for word in scope_words("r", {}, 0, 0) if "MemoryMax" in word or "CPUQuota" in word]


def test_a_run_json_that_its_user_has_changed_names_no_other_runs_scope() -> None:
    words = scope_words("mine", {"run_id": "another", "attempt": 3}, 1000, 0)
    assert "--unit=runyard-run-mine-0" in words
    assert not [word for word in words if "another" in word]
