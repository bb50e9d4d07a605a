"""By what the collector knows this node: its token, kept in the agent's state folder for its owner's eyes alone.

Reads from and writes to `<state_dir>/credentials.json` (0600); `<state_dir>/lock` is held by the living agent. What survives a
crash: a new token is on the disk before it is used, and the old one is good until then.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from runyard import names
from runyard.atomic import read_json, write_json
from runyard.errors import InputError, SpoolError

CREDENTIALS_FILE = "credentials.json"
LOCK_FILE = "lock"
MACHINE_ID = Path("/etc/machine-id")


@dataclass(frozen=True, slots=True)
class Credentials:
    """What this node got when it joined; `token` is empty since the collector has refused it. `join_token_sha256` tells the
    join token that was used from a fresh one."""

    collector_url: str
    node_id: str
    machine: str
    cluster: str
    token_id: str
    token: str = field(repr=False)
    made_ns: int
    join_token_sha256: str = ""


class CredentialStore:
    """The agent's state folder; made at first use. One agent at a time has it."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self._path = state_dir / CREDENTIALS_FILE
        self._lock = -1
        try:
            state_dir.mkdir(mode=names.DIR_MODE, parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"agent.state_dir: {state_dir} cannot be made: {error.strerror}") from error

    def lock(self) -> None:
        """Take the folder for this process; InputError where another agent has it."""
        path = self.state_dir / LOCK_FILE
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, names.FILE_MODE)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise InputError(
                f"another agent runs with {self.state_dir}; stop it first, or set another agent.state_dir"
            ) from None
        except OSError as error:
            raise InputError(f"agent.state_dir: {path} cannot be opened: {error.strerror}") from error
        self._lock = descriptor

    def unlock(self) -> None:
        """Give it up."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def load(self) -> Credentials | None:
        """What is kept; None where this node has not joined, or where the file was made by another machine or place."""
        try:
            value = read_json(str(self._path))
            if value is not None and self._path.stat().st_mode & 0o077:
                self._path.chmod(names.FILE_MODE)
        except OSError as error:
            raise SpoolError(f"the node's credentials {self._path} cannot be read: {error.strerror}") from error
        found = _credentials(value)
        return found if found is not None and found.machine == self.machine() else None

    def keep(self, credentials: Credentials) -> None:
        """Durable when this returns. Raises OSError."""
        write_json(str(self._path), asdict(credentials))

    def machine(self) -> str:
        """64 hexadecimal digits that are the same at each start of this agent, and others for a copy of it.

        The machine's id alone is not enough: disks are cloned with it. A folder's inode is not copied along.
        """
        try:
            machine_id = MACHINE_ID.read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            machine_id = os.uname().nodename
        place = f"{self.state_dir.resolve()} {self.state_dir.stat().st_ino}"
        return hashlib.sha256(f"runyard agent {machine_id} {place}".encode()).hexdigest()


def _credentials(value: Any) -> Credentials | None:
    if not isinstance(value, dict):
        return None
    known = {one.name for one in fields(Credentials)}
    try:
        return Credentials(**{name: part for name, part in value.items() if name in known})
    except TypeError:  # of another version, or not whole
        return None
