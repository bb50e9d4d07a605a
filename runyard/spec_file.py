"""run.toml: the file in which a run is described. docs/run-toml.md has every key.

Reads the file and the requirements files that it names; writes nothing. Paths in it are relative to its folder.
Whether what it says fits together is looked at by `spec_check.check`, once the flags are put in.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from . import requirements, spans
from .distribution import Distribution
from .errors import InputError
from .spec import DOWNLOAD, HOST, Datastore, Environment, Limits, Manager, Resources, Retries, Spec
from .spec_check import OWNERS
from .spec_kinds import nearest, shown, why_wrong, word_of

# Section -> its keys; "" is the file itself.
KEYS: dict[str, tuple[str, ...]] = {
    "": tuple(member.name for member in fields(Spec)),
    "environment": tuple(
        member.name for member in fields(Environment) if member.name not in ("constraints", "requirements_dir")
    ),
    "datastores": tuple(member.name for member in fields(Datastore) if member.name != "name"),
    "context_managers": ("use", "timeout", "options"),
    "resources": tuple(member.name for member in fields(Resources)),
    "limits": tuple(member.name.removesuffix("_s") for member in fields(Limits)),
    "retries": tuple(member.name for member in fields(Retries)),
    "distribution": (
        *("kind", "nodes", "processes_per_node", "parameter_servers", "on_failure", "failure_grace", "stall_after"),
        *("rendezvous", "max_restarts", "mpi_args"),
    ),
}


def load(path: Path, *, registry: str = "", repository: str = "runyard") -> Spec:
    """What the file describes. `registry` and `repository` count where it builds an image and names none.

    Raises InputError, with the file's name, for what cannot be read. The result is not checked yet: flags may complete it.
    """
    document = _read(path)
    try:
        return parse(document, Path(os.path.abspath(path)).parent, registry=registry, repository=repository)  # noqa: PTH100
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def parse(document: Mapping[str, Any], folder: Path, *, registry: str = "", repository: str = "runyard") -> Spec:
    """The same for a TOML document that was read from a file in `folder`; its errors do not name the file."""
    table = _Table("", document)
    environment = _environment(_Table("environment", table.section("environment")), folder, registry, repository)
    code, cwd = _absolute(table.take("code", "str", ""), folder), table.take("cwd", "str", "")
    return Spec(
        command=tuple(table.take("command", "tuple[str, ...]", ())),
        experiment=table.take("experiment", "str", ""),
        name=table.take("name", "str", ""),
        tags=table.texts("tags"),
        env=table.texts("env"),
        cwd=cwd if code else _absolute(cwd, folder),
        code=code,
        environment=environment,
        datastores=tuple(_datastore(name, value, folder) for name, value in table.section("datastores").items()),
        context_managers=tuple(_manager(value, folder) for value in table.list_of_tables("context_managers")),
        sidecar=table.take("sidecar", "bool", False),
        resources=_resources(_Table("resources", table.section("resources"))),
        limits=_limits(_Table("limits", table.section("limits"))),
        retries=_retries(_Table("retries", table.section("retries"))),
        distribution=_distribution(_Table("distribution", table.section("distribution"))),
    )


def _read(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}; it has to be a run's description in TOML") from error
    except UnicodeDecodeError:
        raise InputError(f"{path} cannot be read as TOML: it is not UTF-8") from None
    except RecursionError:
        raise InputError(f"{path} cannot be read as TOML: it is nested too deep") from None
    except ValueError as error:
        raise InputError(f"{path} cannot be read as TOML: {error}") from error


class _Table:
    """A table of the file, whose keys are known; each value is taken with the kind that it has to be of."""

    def __init__(self, section: str, value: Any, where: str = "") -> None:
        self.where = where or section
        if not isinstance(value, dict):
            raise InputError(f"{self.where} is {word_of(value)}; write it as a section, [{self.where}]")
        self._values = value
        for key, inner in value.items():
            if key not in KEYS[section]:
                raise InputError(_unknown(self.name(key), key, inner, section))

    def name(self, key: str) -> str:
        """The key as it is told to a person."""
        return f"{self.where}.{shown(key)}" if self.where else shown(key)

    def has(self, key: str) -> bool:
        """Whether the key says anything."""
        return self._values.get(key, "") not in ("", [], {})

    def take(self, key: str, kind: str, default: Any) -> Any:
        """The value of `key`, which is of this kind (runyard.spec_kinds)."""
        value = self._values.get(key, default)
        why = why_wrong(kind, value)
        if why:
            raise InputError(f"{self.name(key)} {why}")
        return value

    def raw(self, key: str, default: Any) -> Any:
        """The value of `key`, whatever it is."""
        return self._values.get(key, default)

    def texts(self, key: str) -> dict[str, str]:
        """A table of texts; an error names the one that is none."""
        value = self.take(key, "Mapping[str, Any]", {})
        for name, text in value.items():
            why = why_wrong("str", text)
            if why:
                raise InputError(f"{self.name(key)}.{shown(name)} {why}")
        return dict(value)

    def section(self, key: str) -> dict[str, Any]:
        """A table in this one, whose values are not looked at yet."""
        value = self._values.get(key, {})
        if not isinstance(value, dict):
            raise InputError(f"{self.name(key)} is {word_of(value)}; write it as a section, [{self.name(key)}]")
        return value

    def list_of_tables(self, key: str) -> list[Any]:
        """A list of tables, whose values are not looked at yet."""
        value = self._values.get(key, [])
        if not isinstance(value, list):
            raise InputError(f"{self.name(key)} is {word_of(value)}; write each as a section of its own, [[{self.name(key)}]]")
        return value


def _unknown(name: str, key: str, value: Any, section: str) -> str:
    if section and key in KEYS[""]:
        return f"unknown key {name}; {key} belongs to the file itself, so write it above the first section"
    what = f"section [{name}]" if isinstance(value, dict) and not section else f"key {name}"
    return f"unknown {what}{nearest(key, KEYS[section])}"


def _absolute(text: str, folder: Path) -> str:
    return os.path.normpath(folder / os.path.expanduser(text)) if text else ""  # noqa: PTH111 - pathlib's raises without a home


def _environment(table: _Table, folder: Path, registry: str, repository: str) -> Environment:
    kind = table.take("kind", "str", "") or _kind_of(table)
    python = table.take("python", "str", "")
    wanted = _requirements(table, folder)
    containerfile = _absolute(table.take("containerfile", "str", ""), folder)
    if table.has("repository") and not containerfile:
        raise InputError("environment.repository is for an image that is built; name a containerfile, or take it out")
    return Environment(
        kind=kind,
        python=_absolute(python, folder) if "/" in python else python,
        requirements=wanted.text,
        constraints=wanted.constraints,
        requirements_dir=wanted.folder,
        image=table.take("image", "str", ""),
        containerfile=containerfile,
        context=_absolute(table.take("context", "str", ""), folder) or os.path.dirname(containerfile),  # noqa: PTH120 - "" stays ""
        build_args=table.texts("build_args"),
        registry=table.take("registry", "str", "") or (registry if containerfile else ""),
        repository=table.take("repository", "str", "") or (repository if containerfile else "runyard"),
    )


def _kind_of(table: _Table) -> str:
    """The kind that the keys make plain."""
    keys = [key for key in ("image", "containerfile", "requirements") if table.has(key)]
    kinds = {OWNERS[key] for key in keys}
    if len(kinds) > 1:
        raise InputError(f"environment has {' and '.join(keys)}, which are for different kinds; keep one of them")
    return kinds.pop() if kinds else HOST


def _requirements(table: _Table, folder: Path) -> requirements.Requirements:
    value = table.raw("requirements", "")
    if isinstance(value, list):
        lines = table.take("requirements", "tuple[str, ...]", [])
        return requirements.of_lines(lines, folder, "environment.requirements")
    why = why_wrong("str", value)
    if why:
        raise InputError(f"environment.requirements {why.replace('a text', 'a file or a list of texts')}")
    return requirements.read(Path(_absolute(value, folder))) if value else requirements.Requirements()


def _datastore(name: str, value: Any, folder: Path) -> Datastore:
    table = _Table("datastores", value, f"datastores.{shown(name)}")
    return Datastore(
        name=name,
        url=absolute_url(table.take("url", "str", ""), folder),
        mode=table.take("mode", "str", DOWNLOAD),
        path=table.take("path", "str", ""),
        checksums=table.take("checksums", "str", ""),
        options=table.take("options", "Mapping[str, Any]", {}),
        secrets=_references(table.take("secrets", "Mapping[str, Any]", {}), folder),
    )


def absolute_url(url: str, folder: Path) -> str:
    """The url of a datastore; a path without a scheme becomes absolute."""
    return url if "://" in url or "::" in url else _absolute(url, folder)


def _references(secrets: Any, folder: Path) -> Any:
    """The references with their paths absolute; what is none is left for the check to refuse."""
    if not isinstance(secrets, dict):
        return secrets
    return {name: _reference(value, folder) if isinstance(value, str) else value for name, value in secrets.items()}


def _reference(text: str, folder: Path) -> str:
    return "file:" + _absolute(text.removeprefix("file:"), folder) if text.startswith("file:") else text


def _manager(value: Any, folder: Path) -> Manager:
    table = _Table("context_managers", value)
    options = dict(table.take("options", "Mapping[str, Any]", {}))
    if "secrets" in options:
        options["secrets"] = _references(options["secrets"], folder)
    return Manager(
        use=table.take("use", "str", ""),
        options=options,
        timeout_s=_span_s(table, "timeout", Manager(use="").timeout_s),
    )


def _resources(table: _Table) -> Resources:
    gpus = table.raw("gpus", "auto")
    if why_wrong("str", gpus) and why_wrong("int", gpus):
        raise InputError(f'resources.gpus is {word_of(gpus)}; it has to be "auto" or a number of GPUs')
    return Resources(
        gpus=str(gpus),
        cpus=table.take("cpus", "float", 0.0),
        memory=table.take("memory", "str", ""),
        shm_size=table.take("shm_size", "str", ""),
    )


def _limits(table: _Table) -> Limits:
    return Limits(**{name: _span_s(table, name.removesuffix("_s"), value_s) for name, value_s in asdict(Limits()).items()})


def _retries(table: _Table) -> Retries:
    return Retries(**{name: table.take(name, "int", count) for name, count in asdict(Retries()).items()})


def _distribution(table: _Table) -> Distribution:
    one = Distribution()
    return Distribution(
        kind=table.take("kind", "str", one.kind),
        node_count=table.take("nodes", "int", one.node_count),
        processes_per_node=table.take("processes_per_node", "int", one.processes_per_node),
        parameter_servers=table.take("parameter_servers", "int", one.parameter_servers),
        on_failure=table.take("on_failure", "str", one.on_failure),
        failure_grace_s=_span_s(table, "failure_grace", one.failure_grace_s),
        stall_after_s=_span_s(table, "stall_after", one.stall_after_s),
        rendezvous_s=_span_s(table, "rendezvous", one.rendezvous_s),
        max_restarts=table.take("max_restarts", "int", one.max_restarts),
        mpi_args=tuple(table.take("mpi_args", "tuple[str, ...]", ())),
    )


def _span_s(table: _Table, key: str, default_s: float) -> float:
    """A length of time: seconds, or a text as 30m."""
    value = table.raw(key, default_s)
    if isinstance(value, str):
        span_s = spans.seconds(value)
        if span_s is None:
            raise InputError(f"{table.name(key)} {value!r} is no length of time; {spans.RIGHT}")
        return span_s
    if why_wrong("float", value) or not value >= 0:
        raise InputError(f"{table.name(key)} is {word_of(value)} that is no length of time; {spans.RIGHT}")
    return float(value)
