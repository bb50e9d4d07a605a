"""`runyard ship`: sends what lies in this node's spool, once; with --watch it goes on until it is told to stop."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from runyard import configuration, names, settings
from runyard.atomic import read_json
from runyard.errors import InputError

if TYPE_CHECKING:
    from runyard.agent.ship.watch import Adopted

# Runs sent at the same time: more do not help on a node whose cores belong to the training.
AT_ONCE = 4
# How long a collector may be away before the run is given up for this time.
PATIENCE_S = 3.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The words of `runyard ship`."""
    parser.add_argument("--watch", action="store_true", help="adopt every spool that nobody ships, until SIGTERM")
    parser.add_argument(
        "--again",
        action="store_true",
        help="also runs that were sent before, where the collector has not all of them: it was restored from a backup",
    )
    parser.add_argument("--spool", default=None, metavar="DIR", help="default: spool.dir")
    parser.add_argument("--collector", default=None, metavar="URL", help="default: client.collector_url")
    parser.add_argument("--config", default="", metavar="FILE", help="configuration file")
    parser.add_argument("-o", "--output", default="text", choices=("text", "json"), help="how the result is printed")


def run(args: argparse.Namespace) -> int:
    """Ship; 0 where everything there is was sent."""
    flags = {("client", "collector_url"): args.collector, ("spool", "dir"): args.spool}
    loaded = configuration.load(config_file=args.config, flags=flags)
    if not loaded.client.collector_url:
        raise InputError("no collector is configured; set client.collector_url or give --collector http://host:port")
    _ = loaded.token  # a token file that is wrong is told before anything is locked
    spool_dir = Path(loaded.spool.dir).expanduser()
    if spool_dir.exists() and not spool_dir.is_dir():
        raise InputError(f"the spool {spool_dir} is a file; spool.dir has to name a folder")
    raise_descriptor_limit()
    stop = threading.Event()
    _stop_on_signals(stop)
    if args.again:
        _take_up_again(spool_dir, loaded)
    if args.watch:
        return _watch(spool_dir, loaded, stop)
    return _once(spool_dir, loaded, stop, is_json=args.output == "json")


def _take_up_again(spool_dir: Path, loaded: settings.Settings) -> None:
    """Runs that were sent, of which the collector has not everything, are runs that are to be sent. Raises CollectorError."""
    from runyard.agent.ship.again import take_up_again
    from runyard.agent.ship.watch import finished
    from runyard.client import CollectorClient

    client = CollectorClient(loaded.client.collector_url, loaded.token, timeout_s=loaded.client.timeout_s)
    for run_dir in finished(spool_dir):
        take_up_again(run_dir, client)


def _watch(spool_dir: Path, loaded: settings.Settings, stop: threading.Event) -> int:
    from runyard.agent.ship.watch import Watch

    watch = Watch(spool_dir, loaded, logger())
    _stop_on_signals(stop, watch.look)
    watch.run(stop)
    return 0


def _once(spool_dir: Path, loaded: settings.Settings, stop: threading.Event, *, is_json: bool) -> int:
    from runyard.agent.launch import ensure_shepherd
    from runyard.agent.ship.watch import adopt, unfinished, why_broken

    results: list[dict[str, Any]] = []
    waiting = list(unfinished(spool_dir))
    active: list[Adopted] = []
    while (waiting and not stop.is_set()) or active:
        while waiting and len(active) < AT_ONCE and not stop.is_set():
            run_dir = waiting.pop(0)
            why = why_broken(run_dir)
            try:
                adopted = None if why else adopt(run_dir, loaded, _speaker(run_dir.name))
                if adopted is not None:
                    ensure_shepherd(str(run_dir))
            except OSError as error:
                why, adopted = f"{run_dir} cannot be used: {error.strerror}", None
            if adopted is None:
                # Whoever holds the lock sends it: that is no failure of ours.
                results.append(_told({"run_id": run_dir.name, "result": "failed" if why else "busy", "why": why}, is_json))
                continue
            adopted.start(stop, is_once=True, patience_s=PATIENCE_S)
            active.append(adopted)
        for adopted in [one for one in active if not one.is_running]:
            active.remove(adopted)
            results.append(_told(_result(adopted), is_json))
        if active:
            active[0].join(0.05)
    if is_json:
        print(json.dumps({"runs": results}))
    elif not results:
        print(f"there is nothing to send in {spool_dir}")
    return 0 if all(result["result"] != "failed" for result in results) and not stop.is_set() else 1


def _result(adopted: Adopted) -> dict[str, Any]:
    from runyard.agent.ship.ledger import dropped_bytes

    shipper = adopted.shipper
    result = {
        "run_id": adopted.run_id,
        "bytes": shipper.progress_bytes,
        "unsent_bytes": shipper.unsent_bytes(),
        "dropped_bytes": dropped_bytes(str(adopted.run_dir)),
        **_left(adopted.run_dir),
    }
    if shipper.is_done:
        return result | {"result": "complete", "why": ""}
    if shipper.is_settled:
        return result | {"result": "sent", "why": ""}
    return result | {"result": "failed", "why": adopted.failure or shipper.trouble or "stopped before all was sent"}


def _left(run_dir: Path) -> dict[str, Any]:
    """The streams that stayed unsealed and the files that were not sent, as shipped.json tells them."""
    shipped = read_json(str(run_dir / names.SHIPPED_FILE)) or {}
    return {"unsealed": shipped.get("unsealed", {}), "not_sent": shipped.get("not_sent", [])}


def _losses(result: dict[str, Any]) -> str:
    """What is missing of a run that was sent, as the end of a sentence; empty where nothing is."""
    dropped, unsealed, not_sent = (result.get(key) for key in ("dropped_bytes", "unsealed", "not_sent"))
    parts = [
        f"{dropped} bytes were dropped at the spool's quota" if dropped else "",
        f"not sealed: {_first_few(list(unsealed))}" if unsealed else "",
        f"not sent: {_first_few(not_sent)}" if not_sent else "",
    ]
    return "".join(f"; {part}" for part in parts if part)


def _first_few(paths: list[str]) -> str:
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return f"{', '.join(map(repr, paths[:3]))}{more} ({len(paths)} in all)"


def _told(result: dict[str, Any], is_json: bool) -> dict[str, Any]:
    words = {
        "complete": "{bytes} bytes {how}: the run is complete at the collector{losses}",
        "sent": "{bytes} bytes sent: all there is until now; the run has not ended yet{losses}",
        "busy": "another process ships this run",
        "failed": "not sent: {why}",
    }
    if not is_json:
        how = "sent, not all of them sealed" if result.get("unsealed") else "sent and sealed"
        said = words[result["result"]].format(**result, how=how, losses=_losses(result))
        print(f"{result['run_id']}: {said}", flush=True)
    return result


def _speaker(run_id: str) -> Callable[[str], None]:
    def say(sentence: str) -> None:
        with suppress(OSError, ValueError):  # stderr is closed or full: the bytes go on all the same
            print(f"runyard: {run_id}: {sentence}", file=sys.stderr, flush=True)

    return say


def logger() -> Any:
    """JSON lines on stderr, one sentence each."""
    import structlog

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    return structlog.get_logger()


def _stop_on_signals(stop: threading.Event, look: Callable[[], None] = lambda: None) -> None:
    def on_signal(number: int, frame: FrameType | None) -> None:
        del number, frame
        stop.set()
        look()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)


def raise_descriptor_limit() -> None:
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = hard if hard != resource.RLIM_INFINITY else 1 << 16
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):
        return  # fewer files stay open then
