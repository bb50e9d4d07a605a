"""`runyard run -- CMD`: checks the words of the command line, then hands over to the agent's wrapper."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import time
from pathlib import Path
from typing import Any

from runyard import names, settings
from runyard.errors import InputError

DEFAULT_EXPERIMENT = "default"
_DURATION_UNITS_S = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The words of `runyard run`."""
    parser.usage = "runyard run [options] -- CMD [ARG ...]"
    parser.add_argument("--experiment", default=DEFAULT_EXPERIMENT, metavar="E", help="experiment that the run belongs to")
    parser.add_argument("--run-id", default="", metavar="R", help="default: <experiment>_<unix seconds>_<8 hex>")
    parser.add_argument("--name", default="", metavar="N", help="a name for people")
    parser.add_argument("--tag", action="append", default=[], metavar="K=V", help="may be repeated")
    parser.add_argument("--env", action="append", default=[], metavar="K=V", help="for the driver; may be repeated")
    parser.add_argument("--cwd", default="", metavar="D", help="folder in which the driver starts")
    parser.add_argument("--collector", default=None, metavar="URL", help="default: client.collector_url")
    parser.add_argument(
        "--timeout", default=None, metavar="T", help="end the driver after so long: 90, 30m, 2h (exit code 124)"
    )
    parser.add_argument("--config", default="", metavar="FILE", help="configuration file")
    parser.add_argument("command", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    loaded = settings.load(config_file=args.config, flags={("client", "collector_url"): args.collector})
    # Read now: a token file that is wrong is told before the training starts.
    if loaded.client.collector_url:
        _ = loaded.token
    spec = _spec(args, loaded)
    from runyard.agent.wrapper import Wrapper

    return Wrapper(spec, loaded).main()


def _spec(args: argparse.Namespace, loaded: settings.Settings) -> Any:
    from runyard.agent.node import ip_towards
    from runyard.agent.spool import RunSpec

    argv = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not argv:
        raise InputError("there is no command to run; write it behind --, as in: runyard run -- python train.py")
    experiment = _checked_id(args.experiment, "the experiment's name")
    run_id = args.run_id or f"{experiment}_{int(time.time())}_{os.urandom(4).hex()}"
    cwd = _checked_cwd(args.cwd)
    environment = dict(os.environ) | _pairs(args.env, "--env")
    _check_command(argv[0], cwd, environment)
    return RunSpec(
        run_id=_checked_id(run_id, "the run id"),
        experiment=experiment,
        argv=argv,
        environment=environment,
        cwd=cwd,
        name=args.name,
        tags=_pairs(args.tag, "--tag"),
        timeout_s=None if args.timeout is None else _duration_s(args.timeout),
        grace_s=loaded.run.grace_s,
        streams=loaded.run.streams,
        quota_bytes=loaded.spool.quota_bytes,
        quota_policy=loaded.spool.quota_policy,
        collector_url=loaded.client.collector_url,
        node_ip=ip_towards(loaded.client.collector_url),
    )


def _checked_id(text: str, what: str) -> str:
    why = names.why_bad_run_id(text)
    if why:
        raise InputError(f"{what} {text!r} {why}")
    return text


def _checked_cwd(text: str) -> str:
    path = Path(text or ".").absolute()
    if not path.is_dir():
        raise InputError(f"--cwd: {path} is no folder")
    return str(path)


def _check_command(word: str, cwd: str, environment: dict[str, str]) -> None:
    if "/" in word:
        path = Path(cwd, word)
        if path.is_dir():
            raise InputError(f"the command {word!r} is a folder; it has to be a program")
        if not path.exists():
            raise InputError(f"the command {word!r} does not exist in {cwd}")
        if not os.access(path, os.X_OK):
            raise InputError(f"the command {word!r} may not be executed; make it so with chmod +x, or name its interpreter")
    elif shutil.which(word, path=environment.get("PATH", os.defpath)) is None:
        raise InputError(f"the command {word!r} was not found in PATH")


def _pairs(words: list[str], flag: str) -> dict[str, str]:
    pairs = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not key or not equals:
            raise InputError(f"{flag} {word!r} is no K=V; write it as in {flag} key=value")
        pairs[key] = value
    return pairs


def _duration_s(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text)
    if not match or not float(match[1]):
        raise InputError(f"--timeout {text!r} is no length of time; write it as in 90, 90s, 30m or 2h")
    return float(match[1]) * _DURATION_UNITS_S[match[2]]
