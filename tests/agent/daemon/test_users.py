"""Whom a run may be on a node: those that the settings let it, and root only where runs are root anyway."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from runyard.agent.daemon.users import User, check_way, user_of
from runyard.errors import InputError
from runyard.settings import Agent

OURS = pwd.getpwuid(os.geteuid()).pw_name


def test_a_run_that_names_nobody_is_the_agents_own_or_whom_the_settings_name() -> None:
    assert user_of("", Agent()).name == user_of(OURS, Agent()).name == OURS
    assert user_of(OURS, Agent(users=f"someone, {OURS}", user="nobody")).name == OURS


@pytest.mark.skipif(os.geteuid() != 0, reason="needs_system(root): only root starts runs of others")
@pytest.mark.parametrize("users", ["", "*", "nobody"])
def test_no_run_may_be_root_by_asking_for_it_where_runs_are_somebody_else(users: str) -> None:
    with pytest.raises(InputError, match="the run's user 'root' is not one of those that runs may be"):
        user_of("root", Agent(user="nobody", users=users))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs_system(root): only root starts runs of others")
def test_a_user_who_cannot_get_to_the_spool_is_told_so_and_not_started_into_nothing(tmp_path: Path) -> None:
    entry = pwd.getpwnam("nobody")
    nobody = User("nobody", entry.pw_uid, entry.pw_gid, "/", "/bin/sh")
    (tmp_path / "closed").mkdir(mode=0o700)
    with pytest.raises(InputError, match="cannot enter the spool"):
        check_way(nobody, tmp_path / "closed")
    check_way(nobody, Path("/tmp"))  # where all may pass
