"""The `runyard` command: one module for each verb, loaded only when it is called for.

A verb's module has `add_arguments(parser)` and `run(args) -> int` (the exit code). Errors of the tree in runyard.errors are
printed here, as one sentence, and become the exit code.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from runyard import __version__
from runyard.errors import RunyardError

# Verb -> (module, one line for the overview).
VERBS = {
    "run": ("runyard.cli.run", "run a training command, capture its logs and ship them"),
    "logs": ("runyard.cli.logs", "show a run's log, live with -f"),
    "ps": ("runyard.cli.ps", "list runs"),
    "show": ("runyard.cli.show", "show one run: state, processes, files"),
    "download": ("runyard.cli.download", "download a run's files"),
    "verify": ("runyard.cli.verify", "check every byte of a run against its seals"),
    "ship": ("runyard.cli.ship", "send what lies in this node's spool; --watch: go on until told to stop"),
    "collector": ("runyard.cli.collector", "start the collector"),
    "config": ("runyard.cli.config", "explain: where each setting comes from; check: whether they are right"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    verb = next((word for word in arguments if not word.startswith("-")), "")
    parser = _parser(verb)
    try:
        args = parser.parse_args(arguments)
        return int(args.run_verb(args))
    except RunyardError as error:
        print(f"runyard: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has left (`runyard logs | head`); keep the interpreter's last flush quiet.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _parser(verb: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="runyard", description="Runs training commands and keeps their logs.")
    parser.add_argument("--version", action="version", version=f"runyard {__version__}")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    for name, (module_name, summary) in VERBS.items():
        sub = verbs.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".", allow_abbrev=False)
        if name == verb:
            module = importlib.import_module(module_name)
            module.add_arguments(sub)
            sub.set_defaults(run_verb=module.run)
    return parser
