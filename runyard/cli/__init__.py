"""The `runyard` command: one module for each verb, loaded only when it is called for.

A verb's module has `add_arguments(parser)` and `run(args) -> int` (the exit code). Errors of the tree in runyard.errors are
printed here, as one sentence, and become the exit code; so do errors of the system that no verb has met.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import os
import sys
from collections.abc import Sequence

from runyard import __version__
from runyard.errors import InputError, RunyardError

# Verb -> (module, one line for the overview).
VERBS = {
    "run": ("runyard.cli.run", "run a training command, capture its logs and ship them"),
    "logs": ("runyard.cli.logs", "show a run's log, live with -f"),
    "submit": ("runyard.cli.submit", "put a run into a cluster's queue, or into Slurm's"),
    "cancel": ("runyard.cli.cancel", "cancel runs, whatever state they are in"),
    "ps": ("runyard.cli.ps", "list runs"),
    "show": ("runyard.cli.show", "show one run: state, processes, files"),
    "studio": ("runyard.cli.studio", "print a link to the web page that logs you in; --open: show it in a browser"),
    "metrics": ("runyard.cli.metrics", "show a run's metrics, or several runs' side by side; --name: every value of one"),
    "stacks": ("runyard.cli.stacks", "show where a run's processes are, equal stacks together; --now: have them taken"),
    "download": ("runyard.cli.download", "download a run's files"),
    "verify": ("runyard.cli.verify", "check every byte of a run against its seals"),
    "pin": ("runyard.cli.pin", "keep a run's files, however old they become"),
    "unpin": ("runyard.cli.pin", "let a run's files be removed when their time has come"),
    "clusters": ("runyard.cli.clusters", "list clusters; one with its queue; token NAME: a token with which nodes join it"),
    "nodes": ("runyard.cli.nodes", "list the clusters' nodes; one with what it does and uses"),
    "drain": ("runyard.cli.drain", "give a node no more runs"),
    "resume": ("runyard.cli.drain", "give a drained node runs again"),
    "ship": ("runyard.cli.ship", "send what lies in this node's spool; --watch: go on until told to stop"),
    "agent": ("runyard.cli.agent", "start the agent of a cluster's node"),
    "collector": ("runyard.cli.collector", "start the collector"),
    "service": ("runyard.cli.service", "install, uninstall: the agent or the collector as a service of this machine"),
    "completion": ("runyard.cli.completion", "print the completion of this command for bash, zsh or fish"),
    "config": ("runyard.cli.config", "explain: where each setting comes from; check: whether they are right"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns its exit code."""
    _open_standard_descriptors()
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        args = _parsed(arguments)
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
    except (OSError, RuntimeError) as error:
        print(f"runyard: {sentence_of(error)}", file=sys.stderr)
        return 1


def sentence_of(error: OSError | RuntimeError) -> str:
    """What a person is told of an error of the system that no verb has foreseen. Pure."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error) or type(error).__name__


def _open_standard_descriptors() -> None:
    """Whoever closed descriptor 0, 1 or 2 gets /dev/null there, so that no file or socket of ours is given that number."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)  # as standard descriptors are
    os.close(descriptor)
    # The interpreter has no streams for descriptors that were closed when it started.
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115


def _parsed(arguments: list[str]) -> argparse.Namespace:
    """The flags of the verb; leaves with 2 after the help where there is no verb, after the verb's usage for a bad flag."""
    verb = next((word for word in arguments if not word.startswith("-")), "")
    if verb and verb not in VERBS:
        close = difflib.get_close_matches(verb, VERBS, 1, 0.5)
        hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(VERBS)}"
        raise InputError(f"there is no verb {verb!r}; {hint}")
    parser = _parser(verb)
    if not arguments:
        parser.print_help(sys.stderr)
        parser.exit(2)
    args, unknown = parser.parse_known_args(arguments)
    if unknown:
        args.verb_parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    return args


def _parser(verb: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="runyard", description="Runs training commands and keeps their logs.")
    parser.add_argument("--version", action="version", version=f"runyard {__version__}")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    for name, (module_name, summary) in VERBS.items():
        sub = verbs.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".", allow_abbrev=False)
        if name == verb:
            module = importlib.import_module(module_name)
            module.add_arguments(sub)
            sub.set_defaults(run_verb=module.run, verb_parser=sub)
    return parser
