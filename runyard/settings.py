"""Settings: what can be set, where each value comes from, and one sentence for each mistake.

A value is taken from the first of: the flag, the variable RUNYARD_SECTION__KEY, the file named by --config or RUNYARD_CONFIG,
./runyard.toml, $XDG_CONFIG_HOME/runyard/config.toml, /etc/runyard/config.toml, the default.
`RUNYARD_COLLECTOR_URL` and `RUNYARD_TOKEN` are short for client.collector_url and client.token.
The spool lies in $XDG_STATE_HOME by default, where that is set.
Secrets are given by a file or a variable, never by a flag.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
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
    heartbeat_s: float = _setting(10.0, "between two signs of life when there is nothing to send", minimum=0.1)
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
    log_level: str = _setting("info", "least level that is logged", choices=("debug", "info", "warning", "error"))


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
    sources: tuple[Source, ...] = ()

    @property
    def token(self) -> str:
        """The client's token, read from token_file where no value is set; "" where there is neither."""
        if self.client.token or not self.client.token_file:
            return self.client.token
        path = Path(os.path.expanduser(self.client.token_file))  # noqa: PTH111 - see _config_files
        try:
            token = path.read_text(encoding="ascii").strip()
        except OSError as error:
            raise ConfigError(f"client.token_file: {path} cannot be read: {error.strerror}") from error
        except ValueError:  # no "from": the error quotes what it read
            raise ConfigError(f"client.token_file: {path} holds something that is no token") from None
        if not token:
            raise ConfigError(f"client.token_file: {path} is empty; it has to hold the token")
        return token


SECTIONS: dict[str, type[Any]] = {
    "client": Client,
    "spool": Spool,
    "run": Run,
    "environment": Environment,
    "ship": Ship,
    "collector": Collector,
}
SHORT_VARIABLES = {"RUNYARD_COLLECTOR_URL": ("client", "collector_url"), "RUNYARD_TOKEN": ("client", "token")}
# What `runyard run` gives to the driver, which may start commands of ours in turn.
DRIVER_VARIABLES = {
    "RUNYARD_RUN_ID",
    "RUNYARD_RUN_MARK",
    "RUNYARD_EXPERIMENT",
    "RUNYARD_OUTPUT_DIR",
    "RUNYARD_LOG_DIR",
    "RUNYARD_RANK",
    "RUNYARD_LOCAL_RANK",
    "RUNYARD_WORLD_SIZE",
    "RUNYARD_NODE_RANK",
}
# Flags that are not called as their key is.
FLAGS = {("client", "collector_url"): "--collector", ("spool", "dir"): "--spool"}


def load(
    *,
    config_file: str = "",
    flags: Mapping[tuple[str, str], Any] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Settings:
    """All settings. `flags` maps (section, key) to a value given on the command line (None: not given).

    Raises ConfigError for an unknown section, key or variable (naming the nearest known one) and for a bad value.
    """
    layers = [_from_flags(flags or {}), _from_variables(environ)]
    layers += [_from_file(path) for path in _config_files(config_file, environ)]
    sections: dict[str, Any] = {}
    sources: list[Source] = []
    for section, kind in SECTIONS.items():
        values = {}
        for item in fields(kind):
            found = next((layer[section, item.name] for layer in layers if (section, item.name) in layer), None)
            raw, origin, where = found or _default(section, item, environ)
            values[item.name] = raw if found is None else _checked(section, item, raw, where)
            sources.append(
                Source(section, item.name, values[item.name], origin, where, item.metadata["doc"], item.metadata["secret"])
            )
        sections[section] = kind(**values)
    return Settings(**sections, sources=tuple(sources))


def _default(section: str, item: Any, environ: Mapping[str, str]) -> tuple[Any, str, str]:
    state_home = environ.get("XDG_STATE_HOME", "")
    if (section, item.name) == ("spool", "dir") and state_home.startswith("/"):  # XDG: a relative one has to be passed over
        return f"{state_home.rstrip('/')}/runyard/spool", "default", "under $XDG_STATE_HOME"
    return item.default, "default", ""


_Layer = dict[tuple[str, str], tuple[Any, str, str]]


def _from_flags(flags: Mapping[tuple[str, str], Any]) -> _Layer:
    return {
        name: (value, "flag", FLAGS.get(name, "--" + name[1].replace("_", "-")))
        for name, value in flags.items()
        if value is not None
    }


def _from_variables(environ: Mapping[str, str]) -> _Layer:
    layer: _Layer = {}
    for variable, name in SHORT_VARIABLES.items():
        if environ.get(variable):
            layer[name] = (environ[variable], "variable", variable)
    for variable, text in environ.items():
        if not variable.startswith("RUNYARD_"):
            continue
        if "__" not in variable:
            _check_underscore(variable, text)
            continue
        section, _, key = variable.removeprefix("RUNYARD_").lower().partition("__")
        _check_known(section, key, f"the variable {variable}")
        layer[section, key] = (text, "variable", variable)
    return layer


def _check_underscore(variable: str, text: str) -> None:
    """Refuses a setting's variable whose second underscore is missing: it would be passed over in silence."""
    if variable in SHORT_VARIABLES or variable in DRIVER_VARIABLES:
        return
    section, _, key = variable.removeprefix("RUNYARD_").lower().partition("_")
    if section not in SECTIONS or key not in {item.name for item in fields(SECTIONS[section])}:
        return
    if key == "port" and text.startswith("tcp://"):
        return  # Kubernetes sets RUNYARD_COLLECTOR_PORT in every container beside a service called runyard-collector
    right = f"RUNYARD_{section.upper()}__{key.upper()}"
    raise ConfigError(f"the variable {variable} sets nothing; {section}.{key} is set by {right}, with two underscores")


def _config_files(config_file: str, environ: Mapping[str, str]) -> Iterable[Path]:
    # os.path, not pathlib: expanduser() of a user without a home (a container's random uid) and is_file() in a folder
    # that this user may not enter raise there.
    named = config_file or environ.get("RUNYARD_CONFIG", "")
    if named:
        path = os.path.expanduser(named)  # noqa: PTH111
        if not os.path.isfile(path):  # noqa: PTH113
            raise ConfigError(f"the configuration file {path} does not exist or is no file")
        yield Path(path)
    xdg = os.path.expanduser(environ.get("XDG_CONFIG_HOME") or "~/.config")  # noqa: PTH111
    for path in ("runyard.toml", f"{xdg}/runyard/config.toml", "/etc/runyard/config.toml"):
        if os.path.isfile(path):  # noqa: PTH113
            yield Path(path)


def _from_file(path: Path) -> _Layer:
    import tomllib  # costs 20 ms, and most commands find no file

    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ConfigError(f"{path} cannot be read as TOML: it is not UTF-8") from None
    except ValueError as error:
        raise ConfigError(f"{path} cannot be read as TOML: {error}") from error
    layer: _Layer = {}
    for section, table in document.items():
        if section not in SECTIONS:
            raise ConfigError(f"{path}: unknown section [{section}]{_nearest(section, SECTIONS)}")
        if not isinstance(table, dict):
            raise ConfigError(f"{path}: {section} is a section; write it as [{section}]")
        for key, value in table.items():
            _check_known(section, key, str(path))
            layer[section, key] = (value, "file", str(path))
    return layer


def _check_known(section: str, key: str, where: str) -> None:
    if section not in SECTIONS:
        raise ConfigError(f"{where}: unknown section {section!r}{_nearest(section, SECTIONS)}")
    known = [item.name for item in fields(SECTIONS[section])]
    if key not in known:
        raise ConfigError(f"{where}: unknown key {section}.{key}{_nearest(key, known)}")


def _nearest(word: str, known: Iterable[str]) -> str:
    names = list(known)
    close = difflib.get_close_matches(word, names, 1, 0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(names)}"


def _checked(section: str, item: Any, raw: Any, where: str) -> Any:
    name, kind, limits = item.name, type(item.default), item.metadata
    shown = "what was given" if limits["secret"] else repr(raw)
    try:
        if kind is str:
            if not isinstance(raw, str):
                raise ValueError
            value: Any = raw
        elif isinstance(raw, bool) or (kind is int and isinstance(raw, float)):
            raise ValueError
        else:
            value = kind(raw)
    except (ValueError, TypeError, OverflowError):
        word = {str: "a text", int: "a whole number", float: "a number"}[kind]
        raise ConfigError(f"{where}: {name} is {shown}; it has to be {word}") from None
    if limits["choices"] and value not in limits["choices"]:
        raise ConfigError(f"{where}: {name} is {shown}; it has to be one of {', '.join(limits['choices'])}")
    if value == "" and not limits["may_be_empty"]:
        raise ConfigError(f"{where}: {section}.{name} is empty; it has to name a folder")
    if kind is not str and not value >= limits["minimum"]:
        raise ConfigError(f"{where}: {name} is {shown}; it has to be at least {limits['minimum']}")
    if kind is not str and value > limits["maximum"]:
        raise ConfigError(f"{where}: {name} is {shown}; it has to be at most {limits['maximum']}")
    return value
