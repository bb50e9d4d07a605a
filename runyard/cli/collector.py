"""`runyard collector`: starts the collector.

Reads the settings; prints one line on stdout when it is ready, and logs JSON to stderr until SIGTERM or SIGINT.
"""

from __future__ import annotations

import argparse

from runyard import configuration
from runyard.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of this verb."""
    parser.add_argument("--config", default="", metavar="FILE", help="read the settings from FILE")
    parser.add_argument("--host", metavar="ADDRESS", help="address to listen on")
    parser.add_argument("--port", type=int, metavar="N", help="port to listen on; 0: any free one")
    parser.add_argument("--data-dir", metavar="DIR", help="folder of the runs' files and of the embedded database")
    parser.add_argument("--log-level", metavar="LEVEL", help="debug, info, warning or error")


def run(args: argparse.Namespace) -> int:
    """Runs the collector until it is told to stop."""
    names = ("host", "port", "data_dir", "log_level")
    flags = {("collector", name): getattr(args, name) for name in names}
    chosen = configuration.load(config_file=args.config, flags=flags).collector
    try:
        from runyard.collector import main
    except ImportError as error:
        raise ConfigError(f"the collector needs packages that are not installed: {error}") from error
    return main.serve(chosen)
