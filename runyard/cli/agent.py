"""`runyard agent`: the agent of a cluster's node, until SIGTERM or SIGINT.

Reads the settings; logs JSON lines to stderr. What it has started goes on when it ends.
"""

from __future__ import annotations

import argparse

from runyard import configuration
from runyard.errors import InputError

from .ship import logger, raise_descriptor_limit


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The words of `runyard agent`."""
    parser.add_argument("--collector", default=None, metavar="URL", help="default: client.collector_url")
    parser.add_argument("--join-token-file", default=None, metavar="FILE", help="default: agent.join_token_file")
    parser.add_argument("--spool", default=None, metavar="DIR", help="default: spool.dir")
    parser.add_argument("--state-dir", default=None, metavar="DIR", help="default: agent.state_dir")
    parser.add_argument("--config", default="", metavar="FILE", help="configuration file")


def run(args: argparse.Namespace) -> int:
    """Runs the agent until it is told to stop."""
    flags = {
        ("client", "collector_url"): args.collector,
        ("agent", "join_token_file"): args.join_token_file,
        ("agent", "state_dir"): args.state_dir,
        ("spool", "dir"): args.spool,
    }
    loaded = configuration.load(config_file=args.config, flags=flags)
    if not loaded.client.collector_url:
        raise InputError("no collector is configured; set client.collector_url or give --collector http://host:port")
    raise_descriptor_limit()
    from runyard.agent.daemon.main import Agent

    return Agent(loaded, logger()).main()
