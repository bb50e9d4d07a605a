"""The process of the loopback server: MLflow's tracking API for one run on one node, on a socket that the shepherd listens on.

Reads run.json; writes what journals.py and files.py say. Started by agent/loopback_start.py when the first connection waits,
with the socket, and with .runyard/loopback.lock held; ended by SIGTERM once the drivers have ended, or by itself where the run
is over or gone.
What survives its kill -9: everything that was answered. The shepherd starts it again when somebody asks.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import structlog
from aiohttp import web

from runyard import names
from runyard.agent.launch import is_over
from runyard.atomic import read_json

from .app import application
from .elsewhere import Elsewhere
from .server import Server, experiment_id_of

# It must not take the cores from the training.
NICENESS = 5
# How long requests that are under way have when it is to end.
SHUTDOWN_S = 5.0
LOOK_S = 5.0
# MLflow's clients keep their connections as long as the training lasts.
KEEPALIVE_S = 3600.0
_log = structlog.get_logger("runyard.loopback")


async def serve(run_dir: Path, run: dict[str, Any], listening: socket.socket) -> None:
    """Answer until somebody ends it."""
    elsewhere = Elsewhere(run.get("collector_url") or "", run["run_token"])
    server = Server(run_dir, run, await experiment_id_of(run_dir, run, elsewhere), elsewhere)
    runner = web.AppRunner(
        application(server), access_log=None, handle_signals=False, keepalive_timeout=KEEPALIVE_S, shutdown_timeout=SHUTDOWN_S
    )
    await runner.setup()
    await web.SockSite(runner, listening).start()
    await _until_ended(run_dir)
    await runner.cleanup()


async def _until_ended(run_dir: Path) -> None:
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    while not asked.is_set():
        try:
            async with asyncio.timeout(LOOK_S):
                await asked.wait()
        except TimeoutError:
            if _is_gone(run_dir):
                return


def _is_gone(run_dir: Path) -> bool:
    """Whether the run is over, or its folder removed: whoever would have ended us was killed."""
    return is_over(str(run_dir)) or not run_dir.is_dir()


def main(run_dir: str, descriptor: str) -> None:
    """Entry point of the process; `descriptor` is that of the listening socket."""
    os.umask(0o077)
    os.nice(NICENESS)
    structlog.configure(
        processors=[
            structlog.processors.TimeStamper("iso"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    logging.disable(logging.CRITICAL)  # asyncio's and aiohttp's words are for their developers
    run = read_json(str(Path(run_dir) / names.RUN_FILE))
    asyncio.run(serve(Path(run_dir), run, socket.socket(fileno=int(descriptor))))
