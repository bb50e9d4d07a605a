"""Makes the spool of a run that the collector has given to this node, from its order; nothing is started here.

Reads the order and the settings; writes the run's folder and tells the collector, which lets only this node's attempt in.
What survives a crash: before run.json is there, a folder that is removed at the next try; from then on the run, which whoever
watches the spool starts.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from runyard import names, spec_check
from runyard.agent.node import ip_towards
from runyard.agent.ship.register import register
from runyard.agent.spool import TOOL_VARIABLES, NewRun, RunSpec, SpoolLock
from runyard.distribution import MPI, MPIRUN, SHEPHERD, why_wrong
from runyard.errors import InputError, SpoolError
from runyard.settings import Settings
from runyard.spec import CONTAINER, HOST, Snapshot, Spec, from_json
from runyard.spec_secrets import secret_variables

from .users import User, check_way, user_of

REGISTER_S = 10.0
DEFAULT_EXPERIMENT = "default"
# What a driver needs of this node beside what the tools do; not of the service that the agent is.
_SITE_VARIABLES = TOOL_VARIABLES | {"LC_ALL", "TZ", "LD_LIBRARY_PATH", "CUDA_HOME"}
_USERS_OWN = ("HOME", "USER", "LOGNAME", "SHELL")


def make_spool(
    assignment: Mapping[str, Any], gpus: tuple[int, ...] | None, settings: Settings, *, cluster: str, token: str
) -> Path:
    """The run's folder, committed and with its lock free. `gpus`: those that it may use; None: all. Blocks for one request.

    Raises InputError where this node cannot have such a run, CollectorRefused where the collector does not give it to this node
    (any more), and what is worth another try: SpoolError, OSError and the other CollectorErrors.
    """
    spool_dir = Path(settings.spool.dir).expanduser().absolute()
    run_spec = _run_spec(assignment, gpus, settings, cluster)
    _clear(spool_dir / names.attempt_dir(run_spec.run_id, run_spec.attempt))
    new = NewRun(spool_dir, run_spec)
    try:
        register(new.description, run_spec.collector_url, token, timeout_s=REGISTER_S)
        new.commit()
    except BaseException:  # also a refusal: the run does not take place here
        new.discard()
        raise
    new.lock.release()
    return new.run_dir


def _clear(run_dir: Path) -> None:
    """Remove what an agent left that died while it made the folder: without run.json it is no run."""
    if not run_dir.exists():
        return
    # A folder that is a user's was whole before it was given away, whatever has become of it.
    if run_dir.lstat().st_uid != os.geteuid() or (run_dir / names.RUN_FILE).exists():
        raise InputError(f"this node has a run of that name already, which is not of the queue: {run_dir}")
    if (run_dir / names.PRIVATE_DIR).exists():
        lock = SpoolLock(run_dir)
        if not lock.acquire():
            raise SpoolError(f"{run_dir} is being made by another process")
        lock.release()
    shutil.rmtree(run_dir)


def _run_spec(assignment: Mapping[str, Any], gpus: tuple[int, ...] | None, settings: Settings, cluster: str) -> RunSpec:
    order, request = assignment["order"], assignment["request"]
    user = user_of(str(order.get("user") or ""), settings.agent)
    check_way(user, Path(settings.spool.dir).expanduser())
    spec = _spec(order, assignment, settings, gpus)
    snapshot = _snapshot(order, spec)
    return RunSpec(
        run_id=str(assignment["run_id"]),
        attempt=int(assignment["attempt"]),
        experiment=spec.experiment or DEFAULT_EXPERIMENT,
        argv=spec.command,
        environment=_environment(spec, user),
        cwd=_start_dir(spec, snapshot, user),
        name=spec.name,
        tags=spec.tags,
        timeout_s=spec.limits.driver_s or None,
        grace_s=settings.run.grace_s,
        streams=settings.run.streams,
        quota_bytes=settings.spool.quota_bytes,
        quota_policy=settings.spool.quota_policy,
        collector_url=settings.client.collector_url,
        node_ip=ip_towards(settings.client.collector_url),
        spec=spec,
        snapshot=snapshot,
        cache_dir=_folder(settings.environment.cache_dir, user),
        work_dir=_folder(settings.environment.work_dir, user),
        builder=settings.environment.builder,
        drain_s=settings.run.drain_s,
        excepthook=settings.run.excepthook == "on",
        mlflow=settings.run.mlflow == "on" and order.get("mlflow") is not False,
        progress=settings.run.progress == "on",
        distribution=spec.distribution,
        own_variables=tuple(spec.env),
        placement={
            "cluster": cluster,
            "request": dict(request),
            "user": user.name,
            "uid": user.uid,
            "gid": user.gid,
            "gpus": None if gpus is None else list(gpus),
        },
    )


def _spec(order: Mapping[str, Any], assignment: Mapping[str, Any], settings: Settings, gpus: tuple[int, ...] | None) -> Spec:
    try:
        spec = from_json(order["spec"])
        # The code, and the folder in it, are at the collector.
        spec_check.check(replace(spec, code="", cwd="" if spec.code else spec.cwd))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"the run's description is none that this version of runyard knows: {error}") from error
    spread = replace(
        spec.distribution,
        node_count=int(assignment["node_count"]),
        node_rank=int(assignment["node_rank"]),
        launcher=MPIRUN if spec.distribution.kind == MPI else SHEPHERD,
        launch_s=settings.run.launch_s,
        max_restarts=0,  # attempts are the queue's
    )
    if why := why_wrong(spread):
        raise InputError(why)
    env = dict(spec.env)
    if gpus is not None and spec.environment.kind != CONTAINER:
        env["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, gpus))  # others have the rest, whatever the run says
    return replace(spec, distribution=spread, env=env)


def _snapshot(order: Mapping[str, Any], spec: Spec) -> Snapshot | None:
    told = order.get("snapshot")
    if spec.code and not told:
        raise InputError(f"the run's code {spec.code} was not sent to the collector; submit it with its snapshot")
    try:
        return Snapshot(**told) if told else None
    except TypeError as error:
        raise InputError(f"the run's snapshot is none that this version of runyard knows: {error}") from error


def _start_dir(spec: Spec, snapshot: Snapshot | None, user: User) -> str:
    """Where the driver starts; with code, preparation puts it into its own folder."""
    if snapshot is not None:
        return os.path.normpath(Path(spec.code, spec.cwd))
    if spec.environment.kind == HOST and spec.cwd and not Path(spec.cwd).is_dir():
        raise InputError(f"the folder {spec.cwd}, in which the run is to start, is not on node {os.uname().nodename}")
    return spec.cwd or (user.home if Path(user.home).is_dir() else "/")


def _environment(spec: Spec, user: User) -> dict[str, str]:
    """The driver's: of this node what tools need, of the user who it is, and what the run asks for."""
    found = {name: value for name, value in os.environ.items() if name in _SITE_VARIABLES}
    if not user.is_ours:
        found = {name: value for name, value in found.items() if not name.startswith("XDG_")}
    found |= dict(zip(_USERS_OWN, (user.home, user.name, user.name, user.shell), strict=True))
    found.setdefault("PATH", os.defpath)
    # Where the run says that a secret is in a variable, and does not bring it: the node's administrator may have set it.
    secrets = secret_variables(spec) - set(spec.env)
    found |= {name: os.environ[name] for name in secrets if name in os.environ and not name.startswith("RUNYARD_")}
    return found | dict(spec.env)


def _folder(text: str, user: User) -> str:
    """A folder of the settings; what is in a home is in the user's own, and what all runs share has a part for each user."""
    if not text or user.is_ours:
        return str(Path(text).expanduser().absolute()) if text else ""
    if text.startswith("~/"):
        return str(Path(user.home, text[2:]))
    folder = Path(text).absolute()
    own = folder / user.name
    if not own.is_dir():
        folder.mkdir(mode=names.DIR_MODE | 0o011, parents=True, exist_ok=True)
        own.mkdir(mode=names.DIR_MODE, exist_ok=True)
        os.chown(own, user.uid, user.gid)
    return str(own)
