"""What a run is asked to be: `run.toml`, the flags of `runyard run` and the SDK's objects all become one `Spec`.

Pure data; standard library only. run.json keeps it (`to_json`), and the phases on the node read it back (`from_json`).
A secret is never in it: only where to find it (`env:NAME`, `file:PATH`).
`spec_check.check` says what is wrong with a Spec; `spec_file.load` makes one of a run.toml.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from . import distribution
from .distribution import Distribution

HOST, VENV, CONTAINER = "host", "venv", "container"
DOWNLOAD, MOUNT = "download", "mount"


@dataclass(frozen=True, slots=True)
class Environment:
    """What the driver runs in: the Python that is there, a venv built from requirements, or a container."""

    kind: str = HOST
    python: str = ""  # venv: the interpreter; empty: the agent's own
    requirements: str = ""  # venv: the text of the requirements file, the files of its `-r` lines put in
    constraints: str = ""  # venv: the text of all files of its `-c` lines; they limit versions and install nothing
    requirements_dir: str = ""  # venv: absolute; what relative paths in the requirements are relative to
    image: str = ""  # container: a ready image; empty: one is built
    containerfile: str = ""  # container: absolute path of the Containerfile
    context: str = ""  # container: absolute path of the build's context
    build_args: Mapping[str, str] = field(default_factory=dict)
    registry: str = ""  # host:port where what is built is pushed; empty: it stays on this node
    repository: str = "runyard"

    @property
    def is_built(self) -> bool:
        """Whether there is something that may have to be built."""
        return self.kind == VENV or (self.kind == CONTAINER and not self.image)


@dataclass(frozen=True, slots=True)
class Datastore:
    """Data that the run asked for: downloaded before it starts, or mounted read-only where it is a local folder."""

    name: str
    url: str  # anything fsspec knows: file, http(s), s3, …
    mode: str = DOWNLOAD
    path: str = ""  # relative to the run's data folder; empty: the name
    checksums: str = ""  # a file at the datastore with lines as sha256sum(1) writes them
    options: Mapping[str, Any] = field(default_factory=dict)  # for fsspec's file system
    secrets: Mapping[str, str] = field(default_factory=dict)  # option -> env:NAME or file:PATH

    @property
    def variable(self) -> str:
        """The variable in which the driver finds where the data lie. No `__` is in it: that would make it a setting of ours."""
        return "RUNYARD_DATASTORE_" + re.sub(r"[^A-Z0-9]+", "_", self.name.upper())

    @property
    def local_path(self) -> str:
        """The folder or file on this machine that the url names; empty where it names something else."""
        scheme, colons, rest = self.url.partition("://")
        if not colons:
            return self.url
        return rest if scheme in ("file", "local") else ""


@dataclass(frozen=True, slots=True)
class Manager:
    """A context manager that is entered in preparation and left in release."""

    use: str  # an entry point's name, or module:Class
    options: Mapping[str, Any] = field(default_factory=dict)
    timeout_s: float = 60.0  # for entering, and again for leaving


@dataclass(frozen=True, slots=True)
class Resources:
    """What the driver may use; cpus, memory and shm_size need a container."""

    gpus: str = "auto"  # auto: all there are; or a number
    cpus: float = 0.0  # 0: no limit
    memory: str = ""  # as podman takes it: 512m, 8g
    shm_size: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """Time limits in seconds; 0: none."""

    driver_s: float = 0.0
    image_s: float = 3600.0
    execution_s: float = 3600.0
    preparation_s: float = 7200.0
    release_s: float = 600.0


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a phase is tried again after it failed or died."""

    image: int = 0
    execution: int = 3
    preparation: int = 1


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The code, packed: `id` is the SHA-256 of the archive."""

    id: str
    size_bytes: int
    files: int


@dataclass(frozen=True, slots=True)
class Spec:
    """One run, whatever described it. Paths are absolute."""

    command: tuple[str, ...] = ()
    experiment: str = ""
    name: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str = ""  # where the driver starts: relative to the code where there is a snapshot of it, otherwise absolute
    code: str = ""  # the folder that is packed and brought to the nodes; empty: none
    environment: Environment = field(default_factory=Environment)
    datastores: tuple[Datastore, ...] = ()
    context_managers: tuple[Manager, ...] = ()
    sidecar: bool = False
    resources: Resources = field(default_factory=Resources)
    limits: Limits = field(default_factory=Limits)
    retries: Retries = field(default_factory=Retries)
    distribution: Distribution = field(default_factory=Distribution)

    def to_json(self) -> dict[str, Any]:
        """As a value for JSON; a copy."""
        return asdict(self)


def from_json(value: Mapping[str, Any]) -> Spec:
    """The inverse of `to_json`; members that are missing get their defaults. Raises TypeError for one that is unknown."""
    parts = dict(value)
    for name, kind in (("environment", Environment), ("resources", Resources), ("limits", Limits), ("retries", Retries)):
        parts[name] = kind(**parts.get(name, {}))
    parts["command"] = tuple(parts.get("command", ()))
    parts["datastores"] = tuple(Datastore(**one) for one in parts.get("datastores", ()))
    parts["context_managers"] = tuple(Manager(**one) for one in parts.get("context_managers", ()))
    parts["distribution"] = distribution.from_json(parts.get("distribution", {}))
    return Spec(**parts)
