"""Settings: what can be set, section by section, and what is known of each value.

Reads, of the values, no more than the file that holds the token; writes nothing. Where the values come from is told in
configuration.py.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import ConfigError

# No size, count or duration of ours comes near; larger ones (and infinity) would overflow further in.
LARGEST = 2**53
LONGEST_S = 1e9


def _setting(
    default: Any,
    doc: str,
    *,
    choices: tuple[str, ...] = (),
    secret: bool = False,
    may_be_empty: bool = True,
    minimum: float = 0,
    maximum: float | None = None,
) -> Any:
    if maximum is None:
        maximum = LONGEST_S if isinstance(default, float) else LARGEST
    metadata = {"doc": doc, "choices": choices, "secret": secret, "may_be_empty": may_be_empty}
    metadata |= {"minimum": minimum, "maximum": maximum}
    return field(default=default, metadata=metadata, repr=not secret)


@dataclass(frozen=True, slots=True)
class Client:
    """How a command or the SDK reaches the collector."""

    collector_url: str = _setting("", "root of the collector, http://host:port; empty: none")
    token: str = _setting("", "what the collector knows this user by; better in token_file", secret=True)
    token_file: str = _setting("", "file that holds the token")
    timeout_s: float = _setting(10.0, "limit for one request", minimum=0.1)


@dataclass(frozen=True, slots=True)
class Spool:
    """Where runs lie on the node until the collector has them."""

    dir: str = _setting("~/.local/state/runyard/spool", "folder of the runs on this node", may_be_empty=False)
    quota_bytes: int = _setting(0, "most disk that one run's spool may take; 0: no limit")
    quota_policy: str = _setting(
        "block", "at the quota: stop the driver until there is room, or drop the oldest bytes", choices=("block", "drop")
    )


@dataclass(frozen=True, slots=True)
class Run:
    """How `runyard run` treats the driver."""

    grace_s: float = _setting(10.0, "between asking a driver to end and killing its process tree")
    streams: str = _setting("split", "split: stderr told apart; together: one descriptor", choices=("split", "together"))
    connect_timeout_s: float = _setting(2.0, "limit for reaching the collector before the driver is started", minimum=0.1)
    launch_s: float = _setting(120.0, "how long Slurm or mpirun has to start a run's processes on a ready node", minimum=1.0)
    progress: str = _setting("off", "on: find step, rate and ETA of each process in its log", choices=("on", "off"))
    drain_s: float = _setting(10.0, "after the driver's end: how long the collector may stay unreachable before we leave")
    mlflow: str = _setting("on", "on: what a driver records with MLflow comes to its run", choices=("on", "off"))
    excepthook: str = _setting(
        "on", "note the exception that ends a Python driver, by a sitecustomize on its PYTHONPATH", choices=("on", "off")
    )


@dataclass(frozen=True, slots=True)
class Environment:
    """How a run's environment and code are brought to the node."""

    cache_dir: str = _setting(
        "~/.cache/runyard", "folder of snapshots and built environments, shared by the runs on this node", may_be_empty=False
    )
    work_dir: str = _setting("", "folder of the runs' code and data; empty: in the run's own folder of the spool")
    registry: str = _setting("", "host:port of the registry where built images are pushed; empty: they stay on the node")
    repository: str = _setting("runyard", "repository in that registry", may_be_empty=False)
    max_snapshot_bytes: int = _setting(1 << 30, "largest code snapshot", minimum=1)
    builder: str = _setting("auto", "what builds images", choices=("auto", "podman", "buildah", "docker"))


@dataclass(frozen=True, slots=True)
class Ship:
    """How what is in the spool is sent."""

    poll_interval_s: float = _setting(0.025, "between two looks at files that grow", minimum=0.001)
    idle_interval_s: float = _setting(0.25, "between two looks at files that have been still", minimum=0.001)
    batch_bytes: int = _setting(32 << 20, "most bytes in one request", minimum=1 << 16)
    heartbeat_s: float = _setting(10.0, "longest time between two words on the run; the answer tells of a cancel", minimum=0.1)
    backoff_max_s: float = _setting(15.0, "longest wait between two tries", minimum=0.1)
    scan_interval_s: float = _setting(1.0, "between two looks for spools that nobody ships (--watch)", minimum=0.05)


@dataclass(frozen=True, slots=True)
class Collector:
    """The collector itself."""

    host: str = _setting("127.0.0.1", "address to listen on")
    port: int = _setting(8750, "port to listen on; 0: any free one", maximum=65535)
    data_dir: str = _setting(
        "~/.local/share/runyard", "folder of the runs' files and of the embedded database", may_be_empty=False
    )
    database_url: str = _setting("", "SQLAlchemy address; empty: SQLite in data_dir", secret=True)
    token_file: str = _setting("", "administrator's token; empty: data_dir/admin.token, made at the first start")
    max_batch_bytes: int = _setting(256 << 20, "largest ingest request", minimum=1 << 16)
    max_snapshot_bytes: int = _setting(1 << 30, "largest code snapshot", minimum=1 << 10)
    commit_interval_s: float = _setting(0.5, "longest time between a write and its fdatasync", minimum=0.001)
    commit_bytes: int = _setting(32 << 20, "bytes after which a group commit starts at once", minimum=1 << 16)
    lost_contact_s: float = _setting(60.0, "silence of a node after which its runs show NotResponding", minimum=1)
    merge_wait_s: float = _setting(5.0, "longest time that lines of the overall logs wait for a node that stalls", minimum=0.1)
    reserve_after_s: float = _setting(60.0, "time after which the first run of a queue keeps nodes free until it has enough")
    give_up_lost_s: float = _setting(600.0, "silence of a node after which its runs of the queue are given to others, or fail")
    keep_runs_s: float = _setting(365 * 86400.0, "age at which the files of a run that has ended are removed; 0: never")
    keep_experiment_bytes: int = _setting(1 << 40, "size of an experiment beyond which its oldest runs' files go; 0: any")
    remove_interval_s: float = _setting(600.0, "between two looks for runs whose files are to be removed", minimum=0.1)
    keep_samples_s: float = _setting(7 * 86400.0, "age at which what a node has sampled is removed", minimum=60)
    log_level: str = _setting("info", "least level that is logged", choices=("debug", "info", "warning", "error"))


@dataclass(frozen=True, slots=True)
class Agent:
    """The agent of a cluster's node."""

    state_dir: str = _setting(
        "~/.local/state/runyard/agent", "folder of the node's credentials and last words", may_be_empty=False
    )
    join_token_file: str = _setting("", "file that holds the token with which this node joins its cluster")
    heartbeat_s: float = _setting(10.0, "between two words of the agent to the collector", minimum=0.1)
    work_wait_s: float = _setting(30.0, "longest time that the collector holds back its answer about new work", maximum=60)
    sample_s: float = _setting(5.0, "between two looks at what the node uses; 0: none", maximum=3600)
    scopes: str = _setting(
        "auto", "a systemd scope for each run: auto: where systemd runs; on; off", choices=("auto", "on", "off")
    )
    user: str = _setting("", "user that the drivers run as where the run names none; empty: the agent's own")
    users: str = _setting("", "users that runs may name, separated by commas; * for all but root")
    keep_shipped_s: float = _setting(7 * 86400.0, "age at which the spool of a run that the collector has whole is removed")
    keep_free_bytes: int = _setting(10 << 30, "room on the spool's disk below which such spools are removed at once")
    keep_cache_s: float = _setting(30 * 86400.0, "time unused after which a snapshot or a built environment is removed")


@dataclass(frozen=True, slots=True)
class Source:
    """Where one value came from: `origin` is flag, variable, file or default, `where` names it."""

    section: str
    key: str
    value: Any = field(repr=False)  # it may be a secret
    origin: str
    where: str
    doc: str
    secret: bool


@dataclass(frozen=True, slots=True)
class Settings:
    """All sections, and for each value its source (for `runyard config explain`)."""

    client: Client
    spool: Spool
    run: Run
    environment: Environment
    ship: Ship
    collector: Collector
    agent: Agent
    sources: tuple[Source, ...] = ()

    @property
    def token(self) -> str:
        """The client's token, read from token_file where no value is set; "" where there is neither."""
        if self.client.token or not self.client.token_file:
            return self.client.token
        return token_in(self.client.token_file, "client.token_file")


def token_in(file: str, setting: str) -> str:
    """The token that `file`, which `setting` names, holds. Raises ConfigError. Blocks."""
    path = Path(os.path.expanduser(file))  # noqa: PTH111 - see configuration.py
    try:
        token = path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise ConfigError(f"{setting}: {path} cannot be read: {error.strerror}") from error
    except ValueError:  # no "from": the error quotes what it read
        raise ConfigError(f"{setting}: {path} holds something that is no token") from None
    if not token:
        raise ConfigError(f"{setting}: {path} is empty; it has to hold the token")
    return token


SECTIONS: dict[str, type[Any]] = {
    "client": Client,
    "spool": Spool,
    "run": Run,
    "environment": Environment,
    "ship": Ship,
    "collector": Collector,
    "agent": Agent,
}
