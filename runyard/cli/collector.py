"""`runyard collector`: starts the collector; with a word it makes a backup of its data, or restores one.

Reads the settings; prints one line on stdout when it is ready, and logs JSON to stderr until SIGTERM or SIGINT.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from runyard import configuration, settings
from runyard.errors import ConfigError, InputError

from .terminal import note, say, size


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The words of this verb."""
    parser.usage = "runyard collector [options] [backup DIR | restore DIR]"
    parser.description = (
        "Without words: starts the collector. backup DIR: brings the folder up to date with the collector's data, which may be "
        "in use. restore DIR: makes the data folder, which may not be there yet, of a backup."
    )
    parser.add_argument("action", nargs="?", choices=("backup", "restore"), help="copy the data to a folder, or back from it")
    parser.add_argument("folder", nargs="?", metavar="DIR", help="the backup")
    parser.add_argument("--config", default="", metavar="FILE", help="read the settings from FILE")
    parser.add_argument("--host", metavar="ADDRESS", help="address to listen on")
    parser.add_argument("--port", type=int, metavar="N", help="port to listen on; 0: any free one")
    parser.add_argument("--data-dir", metavar="DIR", help="folder of the runs' files and of the embedded database")
    parser.add_argument("--log-level", metavar="LEVEL", help="debug, info, warning or error")


def run(args: argparse.Namespace) -> int:
    """Runs the collector until it is told to stop, or does what the words say."""
    names = ("host", "port", "data_dir", "log_level")
    flags = {("collector", name): getattr(args, name) for name in names}
    chosen = configuration.load(config_file=args.config, flags=flags).collector
    if args.action and not args.folder:
        raise InputError(f"runyard collector {args.action} wants a folder; write it as in {args.action} /srv/backup")
    try:
        if args.action:
            return _copy(args.action, Path(args.folder).expanduser().absolute(), chosen)
        from runyard.collector import main
    except ImportError as error:
        raise ConfigError(f"the collector needs packages that are not installed: {error}") from error
    return main.serve(chosen)


def _copy(action: str, folder: Path, chosen: settings.Collector) -> int:
    from runyard.collector import backup

    data_dir = Path(chosen.data_dir).expanduser().absolute()
    if action == "backup":
        done = backup.backup(data_dir, folder, has_database=not chosen.database_url)
        told = f"{done.files} files and the database" if done.has_database else f"{done.files} files"
        say(f"{folder}: {told}; new or changed: {done.copied} files, {size(done.copied_bytes)}")
    else:
        done = backup.restore(folder, data_dir)
        say(f"{data_dir}: {done.files} files; start the collector, then `runyard ship --again` on each node")
    if not done.has_database:
        note("the database is not among them: it is at collector.database_url; dump it before each backup")
    return 0
