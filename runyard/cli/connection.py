"""How a verb that looks at runs reaches the collector: its common flags, and the client made from them.

Reads from the flags, the environment and the configuration files; writes nothing.
"""

from __future__ import annotations

import argparse
import http.client

from runyard.client import CollectorClient
from runyard.configuration import load
from runyard.errors import CollectorError, CollectorRefused, InputError
from runyard.settings import Settings


def add_connection_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags that name the configuration and the collector."""
    group = parser.add_argument_group("collector")
    group.add_argument("--config", metavar="FILE", default="", help="configuration file to read first; else $RUNYARD_CONFIG")
    group.add_argument("--collector", metavar="URL", help="root of the collector; else $RUNYARD_COLLECTOR_URL")


def add_output_argument(parser: argparse.ArgumentParser, json_help: str = "json: one document on stdout") -> None:
    """The flag that chooses between text for a person and JSON."""
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table", help=json_help)


def settings_of(args: argparse.Namespace) -> Settings:
    """All settings, those flags included."""
    return load(config_file=args.config, flags={("client", "collector_url"): args.collector})


def client_of(args: argparse.Namespace) -> CollectorClient:
    """A client for the collector that the flags and settings name; InputError where they name none."""
    settings = settings_of(args)
    url = settings.client.collector_url
    if not url:
        raise InputError(
            "no collector is set; give --collector http://host:port, or set RUNYARD_COLLECTOR_URL, "
            "or collector_url under [client] in runyard.toml"
        )
    kind = CollectorClient if settings.token else _TokenlessClient
    return kind(url, settings.token, timeout_s=settings.client.timeout_s)


class _TokenlessClient(CollectorClient):
    """A client that has no token, and says how to give one where the collector asks for it."""

    def error(self, status: int, headers: http.client.HTTPMessage, data: bytes) -> CollectorError:
        if status != 401:
            return super().error(status, headers, data)
        return CollectorRefused(
            f"the collector at {self.url} wants a token and none is set; set RUNYARD_TOKEN, "
            "or token_file under [client] in runyard.toml",
            status=status,
        )
