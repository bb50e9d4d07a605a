"""A run's description as a person has pasted it: the text of a run.toml, far from the folder that it is made for.

Pure: of this machine no file is read, whatever the text names. Relative paths, code and requirements files are refused, each
with a sentence: what a run of a queue names has to be on its nodes.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from runyard import sizes, spec_file
from runyard.errors import InputError
from runyard.spec import Resources, Spec

from .messages import Request

_INCLUDES = ("-r", "-c", "--requirement", "--constraint")
_NO_FOLDER = "a description that is pasted has no folder: write an absolute path, as it is on the nodes"


def read(text: str) -> Spec:
    """What the text describes; it is not checked yet whether all of it can be carried out. Raises InputError."""
    try:
        document = tomllib.loads(text)
    except RecursionError:
        raise InputError("the description cannot be read as TOML: it is nested too deep") from None
    except ValueError as error:
        raise InputError(f"the description cannot be read as TOML: {error}") from error
    _refuse_code(document)
    environment = document.get("environment")
    if isinstance(environment, dict):
        _refuse_files(environment.get("requirements"))
    for where, path in _paths(document):
        if not path.startswith("/"):
            raise InputError(f"{where} is {path!r}; {_NO_FOLDER}")
    return spec_file.parse(document, Path("/"))


def request_of(resources: Resources) -> Request:
    """What the description asks of each node. Raises InputError."""
    memory_bytes = sizes.asked(resources.memory) if resources.memory else 0
    if memory_bytes is None:
        raise InputError(f"resources.memory is {resources.memory!r}; write a whole number with b, k, m or g, as in 512m or 8g")
    gpus = int(resources.gpus) if resources.gpus.isdigit() and len(resources.gpus) < 5 else 0
    return Request(gpus=gpus, cpus=max(resources.cpus, 0.0), memory_bytes=memory_bytes)


def _refuse_code(document: Mapping[str, Any]) -> None:
    if document.get("code"):
        raise InputError(
            "code names a folder on your machine, which does not come along with a description that is pasted; take it out"
            " and choose the code of an earlier run, or send both with `runyard submit --spec`"
        )


def _refuse_files(requirements: Any) -> None:
    if isinstance(requirements, str) and requirements:
        raise InputError(
            f"environment.requirements names the file {requirements!r}, which does not come along; write its lines as a list,"
            ' as in requirements = ["numpy==2.1.0"]'
        )
    texts = [line for line in requirements if isinstance(line, str)] if isinstance(requirements, list) else []
    for line in (*texts, *"\n".join(texts).replace("\\\n", "").splitlines()):
        if line.strip().startswith(_INCLUDES):
            raise InputError(
                f"environment.requirements: {line.strip()!r} names a file, which does not come along; write its lines"
            )


def _paths(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Every path that would be looked up relative to the description's folder, with the name of its key."""
    yield from _given("", document, ("cwd",))
    environment = document.get("environment")
    if isinstance(environment, dict):
        names = ("containerfile", "context", *(["python"] if "/" in str(environment.get("python", "")) else []))
        yield from _given("environment.", environment, names)
    datastores = document.get("datastores")
    for name, store in datastores.items() if isinstance(datastores, dict) else ():
        if isinstance(store, dict):
            url = store.get("url")
            if isinstance(url, str) and url and "://" not in url and "::" not in url:
                yield f"datastores.{name}.url", url
            yield from _secrets(f"datastores.{name}.secrets", store.get("secrets"))
    managers = document.get("context_managers")
    for manager in managers if isinstance(managers, list) else ():
        options = manager.get("options") if isinstance(manager, dict) else None
        if isinstance(options, dict):
            yield from _secrets("context_managers: options.secrets", options.get("secrets"))


def _given(prefix: str, table: Mapping[str, Any], names: Iterable[str]) -> Iterator[tuple[str, str]]:
    for name in names:
        value = table.get(name)
        if isinstance(value, str) and value:
            yield prefix + name, value


def _secrets(where: str, secrets: Any) -> Iterator[tuple[str, str]]:
    for name, reference in secrets.items() if isinstance(secrets, dict) else ():
        if isinstance(reference, str) and reference.startswith("file:"):
            yield f"{where}.{name}", reference.removeprefix("file:")
