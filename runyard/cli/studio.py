"""`runyard studio [RUN]`: prints a link to the collector's web page, good for one login; `--open` shows it in a browser.

Writes to POST session-codes; the link goes to stdout. The code stands behind the address's #, which no browser sends anywhere.
"""

from __future__ import annotations

import argparse
import webbrowser
from urllib.parse import quote

from runyard import reader
from runyard.client import CollectorClient

from .connection import add_connection_arguments, client_of
from .terminal import note, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The words of `runyard studio`."""
    parser.add_argument("run", metavar="RUN", nargs="?", default="", help="a run's id: the link leads to its page")
    parser.add_argument("--open", action="store_true", help="show the page in this machine's browser")
    add_connection_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print the link, and open it where that is wanted; 1 where no browser could be started."""
    client = client_of(args)
    if args.run:
        reader.run(client, args.run)  # a mistyped id is answered with the nearest one
    link = login_link(client, args.run)
    say(link)
    if args.open and not webbrowser.open(link):
        note("no browser could be started here; open the link yourself")
        return 1
    return 0


def login_link(client: CollectorClient, run_id: str = "") -> str:
    """The address that logs a browser in once, within minutes, as whoever asks; it leads to the run's page, or to all runs.
    Blocks; raises CollectorError."""
    code = client.json("POST", "/session-codes")["code"]
    to = f"?to={quote(reader.run_path(run_id))}" if run_id else ""
    return f"{client.url.rstrip('/')}/login{to}#code={code}"
