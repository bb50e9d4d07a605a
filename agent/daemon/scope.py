"""Starts shepherds of the node's runs: each as its run's user, where systemd runs in a scope of its own, else in a session.

A scope is no service's child: systemd ends and restarts the agent without it, and knows the run's limits and its processes.
Reads run.json and the folder's owner; writes, once, whose the folder is.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runyard import names
from runyard.agent.launch import ensure_shepherd
from runyard.agent.owner import acting_for_owner
from runyard.atomic import read_json
from runyard.errors import ConfigError

SLICE = "runyard.slice"
SYSTEMD = Path("/run/systemd/system")
CGROUPS = Path("/sys/fs/cgroup")


class Starter:
    """`start` is what the watch over the spool calls. Raises ConfigError where scopes are asked for and cannot be."""

    def __init__(self, scopes: str) -> None:
        why_not = _why_no_scopes()
        if scopes == "on" and why_not:
            raise ConfigError(f"agent.scopes is 'on', and {why_not}; set it to 'auto' or 'off'")
        self.is_scoped = scopes != "off" and not why_not

    def start(self, run_dir: str) -> bool:
        """Start the run's shepherd unless one lives or the run is over here; True where one was started. Raises OSError."""
        folder = Path(run_dir)
        uid, gid = _owner(folder)
        with acting_for_owner(folder):
            run = read_json(str(folder / names.RUN_FILE)) or {}
            how: dict[str, Any] = {}
            if uid != os.geteuid():
                how = _as_user(uid, gid, is_scoped=self.is_scoped)
            before = scope_words(folder.name, run, uid, _free_number(folder.name)) if self.is_scoped else []
            return ensure_shepherd(run_dir, before=before, **how)


def scope_words(name: str, run: Mapping[str, Any], uid: int, number: int) -> list[str]:
    """What starts a program in the scope of the run in the folder `name` and becomes it. `number` tells the scopes of its
    shepherds apart."""
    words = ["systemd-run", "--scope", "--quiet", "--collect", "--no-ask-password"]
    words += [f"--unit={unit_name(name, number)}", f"--slice={SLICE}", f"--description=Run {name} of Runyard"]
    properties = ["Delegate=yes", "OOMPolicy=continue"]
    request = (run.get("placement") or {}).get("request") or {}
    if request.get("memory_bytes"):
        properties.append(f"MemoryMax={int(request['memory_bytes'])}")
    if request.get("cpus"):
        properties.append(f"CPUQuota={max(1, round(request['cpus'] * 100))}%")
    words += [f"--property={one}" for one in properties]
    return words if uid == os.geteuid() else [*words, f"--uid={uid}"]


def unit_name(name: str, number: int) -> str:
    """The scope of a run's shepherd, without its suffix: the first shepherd's has the number 0. By the name of the run's
    folder: a run.json that its user has changed names no other run's scope."""
    run_id, attempt = names.attempt_of_dir(name)
    return f"runyard-run-{run_id}-{attempt}" + (f"-{number}" if number else "")


def scopes_of(run_dir: Path) -> list[Path]:
    """The cgroups of the run's scopes that are there."""
    first = unit_name(run_dir.name, 0)
    numbered = re.compile(re.escape(first) + r"(-[0-9]+)?")
    return [folder for folder in (CGROUPS / SLICE).glob("*.scope") if numbered.fullmatch(folder.stem)]


def _free_number(name: str) -> int:
    # What another shepherd has started lives on in that one's scope.
    return next(number for number in range(1 << 20) if not (CGROUPS / SLICE / f"{unit_name(name, number)}.scope").exists())


def _owner(folder: Path) -> tuple[int, int]:
    """Whose the run is; the folder is given to that user where it was not yet.

    From then on its owner is what counts: what lies in it may have been changed by that user.
    """
    status = folder.lstat()
    if status.st_uid != os.geteuid() or os.geteuid() != 0:
        return status.st_uid, status.st_gid
    run = read_json(str(folder / names.RUN_FILE)) or {}
    placement = run.get("placement") or {}
    uid, gid = int(placement.get("uid", 0)), int(placement.get("gid", 0))
    if uid:
        for path in folder.rglob("*"):
            os.lchown(path, uid, gid)
        os.lchown(folder, uid, gid)  # last: a kill in between does it all once more
    return (uid, gid) if uid else (0, 0)


def _as_user(uid: int, gid: int, *, is_scoped: bool) -> dict[str, Any]:
    """For Popen: as that user, with all that user's groups. systemd-run changes the user itself, but not the groups."""
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        how: dict[str, Any] = {"extra_groups": []}
    else:
        how = {"extra_groups": os.getgrouplist(entry.pw_name, gid)}
        how["env"] = {"HOME": entry.pw_dir, "USER": entry.pw_name, "LOGNAME": entry.pw_name}
    return how if is_scoped else how | {"user": uid, "group": gid}


def _why_no_scopes() -> str:
    if not SYSTEMD.is_dir():
        return "systemd does not run here"
    if os.geteuid() != 0:
        return "the agent is not root"
    return "" if shutil.which("systemd-run") else "there is no systemd-run"
