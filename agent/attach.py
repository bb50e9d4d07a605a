"""Makes an interactive run of a process that is there already, and looks after it: its shepherd, and the way to the collector.

Started by the SDK in that process (runyard/sdk/attachment.py), and detached from it at once. Reads from its stdin one JSON
object (Wanted); writes one line of JSON to its stdout, {"run_id", "run_dir", …} or {"error", "kind"}; then it has neither.
What survives its kill -9: the run. Its records lie in the spool, and `runyard ship` or an agent adopts that as any other.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runyard.settings import Settings
    from runyard.spec import Snapshot

    from .ship.shipper import Shipper
    from .spool import NewRun

# The collector has so long to answer before the process goes on without it.
REGISTER_S = 1.0
LOOK_S = 0.25
SHEPHERD_CHECK_S = 1.0
# After the run's end, a collector that takes nothing is waited for so long; then the spool is left to `runyard ship`.
PATIENCE_S = 24 * 3600.0


def main() -> None:
    """Entry point of the process."""
    if os.fork():
        os._exit(0)  # who has started us must not have to reap us
    os.setsid()
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    gc.freeze()
    gc.enable()
    wanted = json.loads(sys.stdin.buffer.read())
    from runyard.errors import RunyardError

    try:
        attachment = Attachment(wanted)
    except (RunyardError, OSError) as error:
        _answer({"error": str(error), "kind": type(error).__name__})
        sys.exit(1)
    _answer(attachment.told())
    attachment.look_after()


class Attachment:
    """An interactive run on its node. Making it makes the run: its folder, its place at the collector, its shepherd."""

    def __init__(self, wanted: dict[str, Any]) -> None:
        from runyard import configuration

        from .launch import ensure_shepherd

        self._said: list[str] = []
        self._log: Any = None  # once the SDK does not hear us any more
        # Without a collector there is none, whatever the variables of this process say.
        flags = {("client", "collector_url"): wanted["collector_url"], ("client", "token"): wanted["token"] or None}
        self._settings: Settings = configuration.load(config_file=wanted.get("config_file", ""), flags=flags)
        self._new = self._made(wanted)
        os.chdir("/")
        try:
            self._register()
        except BaseException:  # refused: the run does not take place
            self._new.discard()
            raise
        self._new.commit()
        ensure_shepherd(str(self._new.run_dir))

    def told(self) -> dict[str, Any]:
        """What the SDK has to know."""
        new = self._new
        return {
            "run_id": new.spec.run_id,
            "run_dir": str(new.run_dir),
            "run_token": new.run_token,
            "collector_url": self._settings.client.collector_url,
            "said": self._said,
        }

    def look_after(self) -> None:
        """Blocks until the run is over and all of it is sent, as far as there is anybody to send it to."""
        from runyard import names

        from .journal import SystemLog

        os.dup2(os.open(os.devnull, os.O_RDWR), 1)
        os.dup2(os.open(self._new.run_dir / ".runyard/attach.err", os.O_WRONLY | os.O_CREAT | os.O_APPEND, names.FILE_MODE), 2)
        self._log = SystemLog(str(self._new.run_dir / names.SYSTEM_LOG), "runyard.attach")
        stop = threading.Event()
        signal.signal(signal.SIGTERM, lambda number, frame: stop.set())
        if self._settings.client.collector_url:
            self._ship(stop)
        else:
            self._wait_for_end(stop)

    def _made(self, wanted: dict[str, Any]) -> NewRun:
        from runyard import names

        from . import proctree
        from .node import ip_towards
        from .spool import NewRun, RunSpec

        pid = int(wanted["pid"])
        settings = self._settings
        snapshot = self._packed(wanted["snapshot_directory"])
        spec = RunSpec(
            run_id=wanted["run_id"],
            experiment=wanted["experiment"],
            argv=wanted["command"],
            environment={},
            cwd=str(Path.cwd()),
            name=wanted["name"],
            tags=wanted["tags"],
            grace_s=settings.run.grace_s,
            collector_url=settings.client.collector_url,
            node_ip=ip_towards(settings.client.collector_url),
            drain_s=settings.run.drain_s,
            mlflow=False,
            snapshot=snapshot,
            kind=wanted["kind"],
            attached={
                "pid": pid,
                "start_ticks": proctree.start_ticks(pid),
                "boot_id": proctree.boot_id(),
                "wall_ns": time.time_ns(),
                "mono_ns": time.monotonic_ns(),
            },
        )
        new = NewRun(Path(settings.spool.dir).expanduser().absolute(), spec)
        (new.run_dir / names.process_dir(0)).mkdir(mode=names.DIR_MODE, parents=True)
        return new

    def _packed(self, folder: str) -> Snapshot | None:
        """What is kept of the folder; raises InputError where it cannot be."""
        if not folder:
            return None
        from runyard.code_cache import pack_code

        return pack_code(folder, self._settings, self._said.append)

    def _register(self) -> None:
        """Tell the collector of the run; goes on without it where it does not answer in time. Raises CollectorRefused."""
        from .submission import submit

        refused: list[BaseException] = []

        def register() -> None:
            try:
                submit(self._new, self._settings, self._said.append)
            except BaseException as error:  # noqa: BLE001 - raised below, in the main thread
                refused.append(error)

        thread = threading.Thread(target=register, name="register", daemon=True)
        thread.start()
        thread.join(REGISTER_S)
        if refused:
            raise refused[0]
        if thread.is_alive():
            self._said.append(f"the collector has not answered within {REGISTER_S:g} s; the run goes on, and is sent later")

    def _ship(self, stop: threading.Event) -> None:
        """Ship until all is sealed and told, in a thread of its own, and look after the shepherd meanwhile."""
        from .launch import is_over

        try:
            from .ship.shipper import Shipper
        except ImportError as error:  # a Python in which nothing but the SDK can be loaded
            self._log.error(f"this Python cannot send the run ({error}); `runyard ship` can")
            self._wait_for_end(stop)
            return
        settings, run_dir = self._settings, self._new.run_dir
        url = settings.client.collector_url
        shipper = Shipper(run_dir, url, settings.token, settings.ship, on_trouble=self._log.warning)
        thread = threading.Thread(target=self._run, args=(shipper, stop), name="ship", daemon=True)
        thread.start()
        over_s = moved_s = checked_s = time.monotonic()
        progress_bytes = 0
        while thread.is_alive() and run_dir.exists():
            thread.join(LOOK_S)
            now_s = time.monotonic()
            if now_s - checked_s >= SHEPHERD_CHECK_S:
                checked_s = now_s
                self._ensure_shepherd()
            if not is_over(str(run_dir)):
                over_s = now_s
            if shipper.progress_bytes != progress_bytes:
                progress_bytes, moved_s = shipper.progress_bytes, now_s
            if now_s - max(over_s, moved_s) > PATIENCE_S:
                break
        stop.set()
        thread.join(5.0)

    def _run(self, shipper: Shipper, stop: threading.Event) -> None:
        # Shipping never competes with what somebody computes beside it.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
        try:
            shipper.run(stop)
        except Exception as error:  # noqa: BLE001 - whatever ends the shipping, another process may adopt the spool
            self._log.error(f"shipping ended: {type(error).__name__}: {error}")
        finally:
            self._new.lock.release()

    def _wait_for_end(self, stop: threading.Event) -> None:
        from .launch import is_over

        self._new.lock.release()  # whoever has a collector may ship it
        while not is_over(str(self._new.run_dir)) and self._new.run_dir.exists() and not stop.wait(SHEPHERD_CHECK_S):
            self._ensure_shepherd()

    def _ensure_shepherd(self) -> None:
        from .launch import ensure_shepherd

        try:
            ensure_shepherd(str(self._new.run_dir))
        except OSError as error:
            self._log.error(f"the shepherd cannot be started: {error}")


def _answer(value: dict[str, Any]) -> None:
    try:
        os.write(1, json.dumps(value).encode() + b"\n")
    except OSError:
        return  # the process that began the run is gone: its shepherd will see that
