"""As whom a run of the queue takes place: the user that it names, if this node lets it, or else the one that the settings name.

Reads the system's users; writes nothing.
"""

from __future__ import annotations

import os
import pwd
import sys
from dataclasses import dataclass
from pathlib import Path

from runyard.agent.launch import ROOT
from runyard.agent.owner import acting_as
from runyard.errors import InputError
from runyard.settings import Agent


@dataclass(frozen=True, slots=True)
class User:
    """A user of this machine."""

    name: str
    uid: int
    gid: int
    home: str
    shell: str

    @property
    def is_ours(self) -> bool:
        """Whether it is the one that this process is."""
        return self.uid == os.geteuid()

    @property
    def groups(self) -> list[int]:
        """All groups that the user is in."""
        return os.getgrouplist(self.name, self.gid)


def user_of(wanted: str, settings: Agent) -> User:
    """The user for a run that names `wanted`, or nobody. InputError where that cannot be here."""
    allowed = {name.strip() for name in settings.users.split(",") if name.strip()}
    default = settings.user or _ours().name  # root only where runs are root anyway, or where it is named
    if not wanted:
        return _found(settings.user, "agent.user") if settings.user else _ours()
    user = _found(wanted, "the run's user")
    if wanted != default and not (wanted in allowed or ("*" in allowed and user.uid != 0)):
        which = f"it lets runs be {settings.users}" if allowed else "agent.users names nobody"
        raise InputError(f"the run's user {wanted!r} is not one of those that runs may be on node {_here()}: {which}")
    return user


def _found(name: str, what: str) -> User:
    try:
        entry = pwd.getpwnam(name)
    except (KeyError, ValueError):
        raise InputError(
            f"{what} {name!r} does not exist on node {_here()}; name one who does, or have the user made there"
        ) from None
    user = User(entry.pw_name, entry.pw_uid, entry.pw_gid, entry.pw_dir, entry.pw_shell)
    if user.is_ours:
        return user
    if os.geteuid() != 0:
        raise InputError(
            f"{what} is {name!r}, and the agent on node {_here()} runs as {_ours().name!r}: only an agent that runs as root"
            " starts runs of other users"
        )
    _check_reach(user)
    return user


def _check_reach(user: User) -> None:
    """A run's processes are ours as that user: where that user cannot read the interpreter, they would not even start."""
    for path in (Path(sys.executable).resolve(), Path(ROOT, "runyard", "__init__.py")):
        try:
            with acting_as(user.uid, user.gid):
                path.open("rb").close()
        except OSError:
            raise InputError(
                f"the run's user {user.name!r} cannot read {path} on node {_here()}, with which its processes would be started:"
                " runyard has to be installed where all users may read it"
            ) from None


def check_way(user: User, spool_dir: Path) -> None:
    """A run's processes work in its folder of the spool. InputError where the user cannot get there."""
    try:
        with acting_as(user.uid, user.gid):
            os.stat(f"{spool_dir}/.")  # noqa: PTH116 - a Path leaves out the dot, which asks whether one may enter
    except OSError as error:
        raise InputError(
            f"the run's user {user.name!r} cannot enter the spool {spool_dir} on node {_here()} ({error.strerror}):"
            " spool.dir has to lie where all users may pass"
        ) from None


def _ours() -> User:
    uid = os.geteuid()
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:  # a container without a passwd entry
        return User(str(uid), uid, os.getegid(), os.environ.get("HOME", "/"), "/bin/sh")
    return User(entry.pw_name, uid, entry.pw_gid, entry.pw_dir, entry.pw_shell)


def _here() -> str:
    return os.uname().nodename
