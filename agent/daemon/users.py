"""As whom a run of the queue takes place: the user that it names, if this node lets it, or else the one that the settings name.

Reads the system's users; writes nothing.
"""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass

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
    if not wanted:
        return _found(settings.user, "agent.user") if settings.user else _ours()
    user = _found(wanted, "the run's user")
    if wanted != settings.user and not user.is_ours and not (wanted in allowed or ("*" in allowed and user.uid != 0)):
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
    if not user.is_ours and os.geteuid() != 0:
        raise InputError(
            f"{what} is {name!r}, and the agent on node {_here()} runs as {_ours().name!r}: only an agent that runs as root"
            " starts runs of other users"
        )
    return user


def _ours() -> User:
    uid = os.geteuid()
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:  # a container without a passwd entry
        return User(str(uid), uid, os.getegid(), os.environ.get("HOME", "/"), "/bin/sh")
    return User(entry.pw_name, uid, entry.pw_gid, entry.pw_dir, entry.pw_shell)


def _here() -> str:
    return os.uname().nodename
