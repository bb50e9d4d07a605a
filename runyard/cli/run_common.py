"""What the flags of every `runyard run` say, described run or not. Cheap to import: the start of every run waits for it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from runyard.errors import InputError

if TYPE_CHECKING:
    from runyard.spec import Spec

DEFAULT_EXPERIMENT = "default"
SLURM_MARK = "SLURM_STEP_ID"
# What a flag that may be given without a value has then; no word of a command line can be it.
BARE = "\0"


class Common(NamedTuple):
    """What every run has, described or not. A Spec would say it, too, but costs the start of a plain run 9 ms."""

    command: tuple[str, ...] = ()
    experiment: str = ""
    name: str = ""
    tags: dict[str, str] = {}
    env: dict[str, str] = {}
    cwd: str = ""
    code: str = ""
    driver_s: float = 0.0
    is_container: bool = False


def spec_values(spec: Spec) -> Common:
    """What of a description every run has."""
    values = {field: getattr(spec, field) for field in ("command", "experiment", "name", "cwd", "code")}
    is_container = spec.environment.kind == "container"
    return Common(**values, tags=dict(spec.tags), env=dict(spec.env), driver_s=spec.limits.driver_s, is_container=is_container)


def over(common: Common, args: argparse.Namespace, *, is_elsewhere: bool = False) -> Common:
    """`common` with what the flags of every run say: a flag wins, tags and variables are added. `is_elsewhere`: it takes place
    on other machines."""
    argv = args.command[1:] if args.command[:1] == ["--"] else args.command
    return common._replace(
        command=tuple(argv) or common.command,
        experiment=args.experiment if args.experiment is not None else common.experiment or DEFAULT_EXPERIMENT,
        name=common.name if args.name is None else args.name,
        tags=common.tags | pairs(args.tag, "--tag"),
        env=common.env | pairs(args.env, "--env"),
        cwd=_cwd(args.cwd, common, is_elsewhere) if args.cwd else common.cwd,
        driver_s=common.driver_s if args.timeout is None else _span_s(args.timeout),
    )


def pairs(words: list[str], flag: str) -> dict[str, str]:
    """The values of a flag that takes K=V and may be repeated."""
    found = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not key or not equals:
            raise InputError(f"{flag} {word!r} is no K=V; write it as in {flag} key=value")
        found[key] = value
    return found


def _span_s(text: str) -> float:
    from runyard import spans

    span_s = spans.seconds(text)
    if span_s is None:
        raise InputError(f"--timeout {text!r} is no length of time; {spans.RIGHT}")
    return span_s


def _cwd(text: str, common: Common, is_elsewhere: bool) -> str:
    if common.code or is_elsewhere:
        return text
    path = Path(text).absolute()
    if not common.is_container and not path.is_dir():
        raise InputError(f"--cwd: {path} is no folder")
    return str(path)
