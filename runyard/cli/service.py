"""`runyard service install|uninstall agent|collector`: puts a service of this machine in place from the installed package.

Reads from the package, writes to /etc (service_files.py) and to systemd. Data and settings are never removed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from runyard.client import CollectorClient
from runyard.errors import InputError, RunyardError

from . import service_files as files
from .service_files import Service
from .terminal import say

# A collector that brings a large database up to date may take its time.
START_LIMIT_S = 1200.0


class ServiceError(RunyardError):
    """systemd did not do what it was asked to."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of this verb."""
    parser.add_argument("action", choices=("install", "uninstall"), help="put the service in place and start it; take it out")
    parser.add_argument("name", choices=tuple(files.SERVICES), help="which of the two")
    parser.add_argument("--collector", metavar="URL", help="agent: the collector, http://host:port")
    parser.add_argument("--join-token-file", type=Path, metavar="FILE", help="agent: the token with which the node joins")
    parser.add_argument("--host", metavar="ADDRESS", help="collector: address to listen on; 0.0.0.0: all of this machine's")
    parser.add_argument("--port", type=int, metavar="N", help="collector: port to listen on")
    parser.add_argument("--no-start", action="store_true", help="put it in place only: neither now nor at boot it starts")
    parser.add_argument("--root", type=Path, metavar="DIR", help="an image that is being made, in place of this machine")


def run(args: argparse.Namespace) -> int:
    """Does it; what is already so is left so."""
    service = files.SERVICES[args.name]
    wanted = _wanted(args)
    root = args.root or Path("/")
    if args.root is not None and not root.is_dir():
        raise InputError(f"--root: {root} is no folder")
    if args.root is None:
        _check_machine()
    if args.action == "install":
        _install(args, root, service, wanted)
    else:
        _uninstall(root, service, is_live=args.root is None)
    return 0


def _wanted(args: argparse.Namespace) -> dict[str, str | int]:
    """The settings that the flags ask for; raises InputError for a flag that does not belong to this action or service."""
    flags = {"agent": ("collector", "join_token_file"), "collector": ("host", "port")}
    for name in (name for names in flags.values() for name in names):
        if getattr(args, name) is not None and (args.action != "install" or name not in flags[args.name]):
            raise InputError(f"--{name.replace('_', '-')} has no meaning for {args.action} {args.name}")
    if args.collector is not None:
        CollectorClient(args.collector, "").close()  # refuses what is no address of a collector
    if args.port is not None and not 0 < args.port < 65536:
        raise InputError(f"--port: {args.port} is no port; 1 to 65535")
    wanted = {"collector_url": args.collector, "host": args.host, "port": args.port}
    return {key: value for key, value in wanted.items() if value is not None}


def _check_machine() -> None:
    if not Path("/run/systemd/system").is_dir():
        raise InputError("systemd does not run this machine, so it has no services; start `runyard agent` by what does")
    if os.getuid() != 0:
        raise InputError("a service of this machine is put in place by root: sudo runyard service …")


def _install(args: argparse.Namespace, root: Path, service: Service, wanted: dict[str, str | int]) -> None:
    if args.join_token_file is not None:
        files.write_join_token(root, args.join_token_file)
    if not files.is_packaged(root, service):
        command = str(Path(sys.executable).with_name("runyard"))
        files.check_command(command, service)
        files.write_units(root, service, command)
    is_new = files.write_settings(root, service, wanted)
    say(f"settings: {root / service.settings}{' (new)' if is_new else ''}")
    if args.root is not None:
        say(f"{service.unit} is in place below {root}")
        return
    _call("systemd-sysusers")
    _call("systemd-tmpfiles", "--create", *(f"--prefix={place}" for place in files.MADE_AT_ONCE))
    _call("systemctl", "daemon-reload")
    if args.no_start:
        say(f"{service.unit} is in place; systemctl enable --now {service.unit} starts it")
        return
    _call("systemctl", "enable", "--quiet", service.unit)
    # A service that runs takes up what is new; trainings do not notice when it is the agent's.
    _call("systemctl", "restart", service.unit, hint=f"; journalctl -u {service.unit} tells why")
    say(f"{service.unit} runs, and starts with the machine")


def _uninstall(root: Path, service: Service, *, is_live: bool) -> None:
    is_packaged = files.is_packaged(root, service)
    if not is_packaged and not files.is_installed(root, service):
        say(f"{service.unit} is not installed")
        return
    if is_live:
        _call("systemctl", "disable", "--now", "--quiet", service.unit)
    gone = files.remove_units(root, service)
    if service.name == "agent":
        files.remove_join_token(root)
    if is_live:
        _call("systemctl", "daemon-reload")
    if is_packaged:
        say(f"{service.unit} is stopped and disabled; it goes with the package that has brought it")
    elif gone:
        say(f"removed: {', '.join(gone)}")
    say(f"left as they are: /{service.settings}, {service.state}")


def _call(*argv: str, hint: str = "") -> None:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=START_LIMIT_S, check=False)
    except FileNotFoundError:
        raise ServiceError(f"{argv[0]} is not installed; it belongs to systemd") from None
    except subprocess.TimeoutExpired:
        raise ServiceError(f"{' '.join(argv)} has not ended within {START_LIMIT_S:g} s{hint}") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip().partition("\n")[0]
        raise ServiceError(f"{' '.join(argv)} failed: {said}{hint}")
