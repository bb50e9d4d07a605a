"""A run's folder in the spool: made here, described by run.json, shipped by whoever holds its lock.

Writes run.json and environment.json; ARCHITECTURE.md has the table of all files.
"""

from __future__ import annotations

import fcntl
import os
import resource
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runyard import names
from runyard.atomic import read_json, write_json
from runyard.distribution import Distribution
from runyard.errors import InputError, SpoolError

from . import properties
from .node import node_id

if TYPE_CHECKING:
    from runyard.spec import Snapshot, Spec

# What podman, pip and uv are told by their user's environment. A shepherd that another service starts needs it, too.
# An index's URL may hold a password: run.json is its owner's alone, and is not sent.
TOOL_VARIABLES = frozenset({
    "PATH", "HOME", "USER", "LANG", "TMPDIR", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME",
    "CONTAINERS_CONF", "CONTAINERS_STORAGE_CONF", "CONTAINERS_REGISTRIES_CONF", "REGISTRY_AUTH_FILE", "DOCKER_HOST",
    "DOCKER_CONFIG", "BUILDAH_ISOLATION", "PIP_CONFIG_FILE", "PIP_CERT", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL",
    "UV_CONFIG_FILE", "UV_INDEX_URL", "UV_DEFAULT_INDEX", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE",
    "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
})  # fmt: skip
# What object stores' libraries look for where the spec names no secret.
CREDENTIAL_PREFIXES = ("AWS_", "GOOGLE_", "AZURE_STORAGE_")


@dataclass(frozen=True, slots=True)
class RunSpec:
    """What a person asked for. `environment` is the driver's whole environment; `cwd` is absolute."""

    run_id: str
    experiment: str
    argv: Sequence[str]
    environment: Mapping[str, str]
    cwd: str
    name: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float | None = None
    grace_s: float = 10.0
    streams: str = "split"
    quota_bytes: int = 0
    quota_policy: str = "block"
    collector_url: str = ""
    node_ip: str = "127.0.0.1"
    spec: Spec | None = None  # what there is to do around the driver
    snapshot: Snapshot | None = None
    cache_dir: str = ""
    work_dir: str = ""  # of all runs; empty: in the run's own folder
    builder: str = "auto"
    drain_s: float = 10.0
    excepthook: bool = True
    mlflow: bool = True  # its driver's MLflow is led to this run
    distribution: Distribution = Distribution()  # noqa: RUF009 - frozen
    attempt: int = 0
    earlier: Sequence[Mapping[str, Any]] = ()  # how the attempts before this one ended
    progress: bool = False  # look at how far its processes have come, even if stalls are of no interest
    own_variables: Sequence[str] = ()  # of `environment`, those that a person has set for this run (--env)
    placement: Mapping[str, Any] | None = None  # of a cluster's queue: cluster, request, user, gpus (daemon/start.py)
    kind: str = "script"  # runyard/tracking/records.py names some
    parent_run_id: str = ""  # the run that has submitted it
    attached: Mapping[str, Any] | None = None  # of an interactive run: its process, which nobody of us starts (attached.py)


class SpoolLock:
    """The flock of a run's spool. Whoever holds it ships the run; it is free as soon as its holder is gone, however."""

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / names.SPOOL_LOCK
        self._descriptor = -1

    def acquire(self) -> bool:
        """Take it if it is free; does not wait."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, names.FILE_MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    @property
    def is_held(self) -> bool:
        """Whether this object holds it."""
        return self._descriptor >= 0

    def release(self) -> None:
        """Give it up."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class NewRun:
    """A run's folder between its making and its first shepherd. Nothing takes place before `commit`.

    `follows` is the attempt before this one: both are the same run to the collector.
    """

    def __init__(self, spool_dir: Path, spec: RunSpec, follows: NewRun | None = None) -> None:
        self.spec = spec
        self.run_dir = spool_dir / names.attempt_dir(spec.run_id, spec.attempt)
        self.key: str = follows.key if follows else os.urandom(16).hex()
        self.run_token: str = follows.run_token if follows else os.urandom(32).hex()
        self.mark = os.urandom(8).hex()  # by which this run's processes are found: another spool may have a run of this id
        self.created_ns = time.time_ns()
        _make_private_dir(spool_dir)
        try:
            self.run_dir.mkdir(mode=names.DIR_MODE)
        except FileExistsError:
            raise InputError(_why_taken(self.run_dir, spec)) from None
        except OSError as error:
            raise SpoolError(f"{self.run_dir} cannot be made: {error.strerror}") from error
        # Parents are named before what lies in them: mkdir's `parents` would not give them our mode.
        for name in (
            names.PRIVATE_DIR,
            names.INDEX_DIR,
            names.TRACKING_DIR,
            names.BLOBS_DIR,
            names.LOGS_DIR,
            names.USER_LOGS_DIR,
            names.SYSTEM_LOGS_DIR,
            names.OUTPUTS_DIR,
        ):
            (self.run_dir / name).mkdir(mode=names.DIR_MODE)
        self.lock = SpoolLock(self.run_dir)
        if not self.lock.acquire():
            raise SpoolError(f"the new folder {self.run_dir} is locked by another process")
        self.description = self._describe(node_id(spool_dir))

    def commit(self) -> None:
        """From now on the run takes place, even if this process dies: whoever adopts the spool starts its shepherd."""
        spec = self.spec
        launch = {
            "argv": list(spec.argv),
            "env": self._driver_environment(),
            "cwd": spec.cwd,
            "own": list(spec.own_variables),
            "umask": _umask(),
            "file_size_limits": list(resource.getrlimit(resource.RLIMIT_FSIZE)),
        }
        write_json(str(self.run_dir / names.ENVIRONMENT_FILE), launch, durable=False)
        if self.description["spec"]:
            write_json(str(self.run_dir / names.SECRETS_FILE), self._secrets(), durable=False)
            from . import reserve

            reserve.make(str(self.run_dir))
        properties.record(self.run_dir, spec.snapshot, spec.spec.environment if spec.spec and is_phased(spec.spec) else None)
        write_json(str(self.run_dir / names.RUN_FILE), self.description, durable=False)

    def discard(self) -> None:
        """Remove the folder of a run that will not take place."""
        shutil.rmtree(self.run_dir)
        self.lock.release()

    def _describe(self, node: str) -> dict[str, Any]:
        spec = self.spec
        return {
            "run_id": spec.run_id,
            "experiment": spec.experiment,
            "name": spec.name,
            "tags": dict(spec.tags),
            "command": [_text(word) for word in spec.argv],
            "cwd": _text(spec.cwd),
            "user": _user(),
            "hostname": os.uname().nodename,
            "created_ns": self.created_ns,
            "key": self.key,
            "run_token": self.run_token,
            "mark": self.mark,
            "timeout_s": spec.timeout_s,
            "grace_s": spec.grace_s,
            "streams": spec.streams,
            "distribution": asdict(spec.distribution),
            "world_size": spec.distribution.world_size,
            "ranks": list(spec.distribution.ranks),
            "attempt": spec.attempt,
            "earlier": [dict(one) for one in spec.earlier],
            "is_watched": spec.progress or spec.distribution.stall_after_s > 0,
            "collector_url": spec.collector_url,
            "quota_bytes": spec.quota_bytes,
            "quota_policy": spec.quota_policy,
            "node_id": node,
            "node_ip": spec.node_ip,
            "drain_s": spec.drain_s,
            "excepthook": spec.excepthook,
            "mlflow": spec.mlflow,
            "spec": spec.spec.to_json() if spec.spec and is_phased(spec.spec) else None,
            "snapshot": asdict(spec.snapshot) if spec.snapshot else None,
            "cache_dir": spec.cache_dir,
            "work_dir": str(Path(spec.work_dir, self.run_dir.name) if spec.work_dir else self.run_dir / names.WORK_DIR),
            "builder": spec.builder,
            "tool_environment": {name: value for name, value in spec.environment.items() if name in TOOL_VARIABLES},
            "placement": dict(spec.placement) if spec.placement else None,
            "kind": spec.kind,
            "parent_run_id": spec.parent_run_id or None,
            "attached": dict(spec.attached) if spec.attached else None,
        }

    def _secrets(self) -> dict[str, str]:
        """The variables that the phases may look up: those that the spec names, and object stores' own."""
        named: set[str] = set()
        if self.spec.spec:
            from runyard.spec_secrets import secret_variables  # not loaded for a bare command

            named = secret_variables(self.spec.spec)
        return {
            name: value
            for name, value in self.spec.environment.items()
            if name in named or name.startswith(CREDENTIAL_PREFIXES)
        }

    def _driver_environment(self) -> dict[str, str]:
        # The user's own token stays with us: the driver gets one that is good for this run alone.
        ours = {
            "RUNYARD_RUN_ID": self.spec.run_id,
            "RUNYARD_RUN_MARK": self.mark,
            "RUNYARD_ATTEMPT": str(self.spec.attempt),
            "RUNYARD_EXPERIMENT": self.spec.experiment,
            "RUNYARD_OUTPUT_DIR": str(self.run_dir / names.OUTPUTS_DIR),
            "RUNYARD_LOG_DIR": str(self.run_dir / names.USER_LOGS_DIR),
            "RUNYARD_TRACKING_DIR": str(self.run_dir / names.TRACKING_DIR),
            "RUNYARD_BLOBS_DIR": str(self.run_dir / names.BLOBS_DIR),
            "RUNYARD_TOKEN": self.run_token,
            "AZUREML_RUN_ID": self.spec.run_id,  # what scripts look for that were written for Azure ML
        }
        if self.spec.collector_url:
            ours["RUNYARD_COLLECTOR_URL"] = self.spec.collector_url
        kept = {
            name: value
            for name, value in self.spec.environment.items()
            if name not in ("RUNYARD_CLIENT__TOKEN", "RUNYARD_CLIENT__TOKEN_FILE", "RUNYARD_COLLECTOR_URL")
        }
        if kept.get("MLFLOW_TRACKING_TOKEN", "") and kept.get("MLFLOW_TRACKING_TOKEN") == kept.get("RUNYARD_TOKEN"):
            for name in names.MLFLOW_VARIABLES:  # of the run in which this one was started
                kept.pop(name, None)
        return {"PYTHONUNBUFFERED": "1"} | kept | ours


def is_phased(spec: Spec) -> bool:
    """Whether there is anything to do around the driver: to build, fetch, enter or limit."""
    asked = (spec.environment.kind != "host", spec.code, spec.datastores, spec.context_managers, spec.sidecar)
    return any(asked) or spec.resources.gpus != "auto"


def _why_taken(run_dir: Path, spec: RunSpec) -> str:
    if spec.distribution.node_count == 1:
        return f"the run id {spec.run_id!r} is taken on this node: {run_dir} exists; choose another"
    run = read_json(str(run_dir / names.RUN_FILE))
    maker = run.get("hostname") if isinstance(run, dict) else None
    if maker in (None, os.uname().nodename):
        maker = "this node, or by another one that shares it"
    return (
        f"the run's folder {run_dir} was made by {maker} already: spool.dir has to name a folder of the node's own, as below"
        " /tmp, and a run id is good for one run"
    )


def _make_private_dir(path: Path) -> None:
    try:
        path.mkdir(mode=names.DIR_MODE, parents=True, exist_ok=True)
    except FileExistsError:
        raise InputError(f"the spool {path} is a file; spool.dir has to name a folder") from None
    except OSError as error:
        raise SpoolError(f"the spool {path} cannot be made: {error.strerror}") from error


def _text(word: str) -> str:
    """`word` for people and JSON: bytes of an argument that are no UTF-8 become U+FFFD. The driver gets the bytes."""
    return os.fsencode(word).decode("utf-8", "replace")


def _user() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container without a passwd entry
        return str(os.getuid())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
