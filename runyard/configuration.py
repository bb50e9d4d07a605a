"""Configuration: where the value of each setting comes from, and one sentence for each mistake.

A value is taken from the first of: the flag, the variable RUNYARD_SECTION__KEY, the file named by --config or RUNYARD_CONFIG,
./runyard.toml, $XDG_CONFIG_HOME/runyard/config.toml, /etc/runyard/config.toml, the default.
`RUNYARD_COLLECTOR_URL` and `RUNYARD_TOKEN` are short for client.collector_url and client.token.
The spool lies in $XDG_STATE_HOME by default, where that is set.
Secrets are given by a file or a variable, never by a flag. Writes nothing.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from .errors import ConfigError
from .settings import SECTIONS, Settings, Source

SHORT_VARIABLES = {"RUNYARD_COLLECTOR_URL": ("client", "collector_url"), "RUNYARD_TOKEN": ("client", "token")}
# What `runyard run` gives to the driver, which may start commands of ours in turn.
DRIVER_VARIABLES = {
    "RUNYARD_RUN_ID",
    "RUNYARD_RUN_MARK",
    "RUNYARD_EXPERIMENT",
    "RUNYARD_OUTPUT_DIR",
    "RUNYARD_LOG_DIR",
    "RUNYARD_TRACKING_DIR",
    "RUNYARD_BLOBS_DIR",
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
