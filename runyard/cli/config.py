"""`runyard config explain|check`: where each setting comes from, and whether they are right.

Reads from the flags, the environment and the configuration files; writes to stdout. Secrets are never printed.
"""

from __future__ import annotations

import argparse

from runyard.client import CollectorClient
from runyard.settings import Source

from .connection import add_connection_arguments, add_output_argument, settings_of
from .terminal import say, say_json, table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `runyard config`."""
    parser.add_argument(
        "what",
        choices=("explain", "check"),
        help="explain: each value, its source and meaning; check: only whether all are right",
    )
    add_output_argument(parser)
    add_connection_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Explain or check the settings; a mistake in them is a ConfigError (exit code 2)."""
    settings = settings_of(args)
    if args.what == "explain":
        if args.output == "json":
            say_json({"settings": [_document(source) for source in settings.sources]})
        else:
            say(table(("SETTING", "VALUE", "FROM", "MEANING"), [_row(source) for source in settings.sources]))
        return 0
    token = settings.token
    if settings.client.collector_url:
        CollectorClient(settings.client.collector_url, token)
    if args.output == "json":
        say_json({"ok": True, "collector_url": settings.client.collector_url, "has_token": bool(token)})
    else:
        say("the configuration is right")
    return 0


def _document(source: Source) -> dict[str, object]:
    value = {"is_set": bool(source.value)} if source.secret else {"value": source.value}
    return {
        "section": source.section,
        "key": source.key,
        **value,
        "origin": source.origin,
        "where": source.where,
        "doc": source.doc,
        "secret": source.secret,
    }


def _row(source: Source) -> tuple[str, ...]:
    return f"{source.section}.{source.key}", _value(source), _origin(source), source.doc


def _value(source: Source) -> str:
    if source.secret:
        return "(set, not shown)" if source.value else "(not set)"
    return str(source.value) if source.value != "" else '""'


def _origin(source: Source) -> str:
    return source.origin if not source.where else f"{source.origin} {source.where}"
