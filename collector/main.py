"""The collector's process: startup, serve, shutdown.

Reads the settings; writes one line to stdout once it accepts connections, and its log to stderr.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import gc
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import structlog
from aiohttp import web

from runyard.atomic import sync_folder
from runyard.errors import ConfigError
from runyard.names import DIR_MODE
from runyard.sd_notify import READY, STOPPING, Notifier, status
from runyard.settings import Collector as Settings

from . import auth, catalog, epoch, log_lines, placement
from .app import make_app
from .artifacts.blobs import make_blobs
from .artifacts.files import Artifacts
from .auth import Gate
from .cluster.dispatch import Dispatch
from .commit import Committer
from .content_store import MOST_AT_ONCE
from .database import Database, DatabaseError, open_database
from .digests import Digester
from .file_store import FileStore, most_open_files
from .hub import Hub
from .ingest import Ingest
from .merge import process as merge_process
from .merge import runs as merge_runs
from .merge.feed import Feed
from .metrics import Metrics
from .pulse import Pulse
from .rendezvous import Meetings
from .repeats import Repeats
from .retention import Retention
from .route import Parts
from .seals import Sealer
from .service import watched
from .snapshots import Snapshots
from .store import StoreError
from .streams import Streams
from .studio.sessions import Sessions
from .tracking.applier import Applier
from .tracking.sampling import Kept

log = structlog.get_logger()

# How long requests may go on after SIGTERM.
GRACE_S = 3.0
PULSE_FLUSH_S = 5.0
# A batch of frames makes thousands of objects that hold no cycles.
GC_THRESHOLD = 20_000
# One recv of the kernel; aiohttp stops reading a body when twice as much waits for the disk.
READ_BUFFER_BYTES = 256 << 10
# A request may name some thousands of streams, and a cursor as many.
HEAD_BYTES = 256 << 10


def serve(settings: Settings) -> int:
    """Runs the collector until SIGTERM or SIGINT. Raises ConfigError where it cannot start. Blocks."""
    log_lines.configure(settings.log_level)
    os.umask(0o077)
    data_dir = Path(settings.data_dir).expanduser().absolute()
    with _data_dir(data_dir):
        token, token_path = auth.admin_token(settings.token_file, data_dir)
        metrics = Metrics()
        database = open_database(settings.database_url, data_dir, metrics.database_errors.inc)
        try:
            asyncio.run(_serve(settings, data_dir, database, metrics, token, token_path))
        finally:
            database.close()
    return 0


@contextmanager
def _data_dir(data_dir: Path) -> Iterator[None]:
    """The data folder, which no other collector uses."""
    try:
        (data_dir / "runs").mkdir(DIR_MODE, parents=True, exist_ok=True)
        descriptor = os.open(data_dir / "collector.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(f"collector.data_dir: {data_dir} cannot be used as a folder: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise ConfigError(f"collector.data_dir: {data_dir} is in use by another collector") from error
    # Files are synced with the folders that were made for them; these two exist from now on.
    for folder in (data_dir, data_dir.parent):
        with contextlib.suppress(OSError):  # somebody else's folder may not be ours to open
            sync_folder(str(folder))
    try:
        yield
    finally:
        os.close(descriptor)


def _parts(settings: Settings, data_dir: Path, database: Database, metrics: Metrics, token: str) -> Parts:
    store = FileStore(data_dir / "runs", most_open_files())
    streams = Streams(database, store)
    committer = Committer(store, metrics, interval_s=settings.commit_interval_s, limit_bytes=settings.commit_bytes)
    hub, pulse, digester = Hub(), Pulse(settings.lost_contact_s, settings.give_up_lost_s), Digester()
    meetings, repeats, gate = Meetings(), Repeats(), Gate(database, token)
    ingest = Ingest(
        streams=streams,
        store=store,
        database=database,
        committer=committer,
        hub=hub,
        pulse=pulse,
        metrics=metrics,
        max_batch_bytes=settings.max_batch_bytes,
    )
    return Parts(
        database=database,
        store=store,
        streams=streams,
        committer=committer,
        hub=hub,
        meetings=meetings,
        pulse=pulse,
        repeats=repeats,
        dispatch=Dispatch(database, hub, meetings, pulse, repeats, settings),
        ingest=ingest,
        sealer=Sealer(store, database, committer, digester, hub),
        digester=digester,
        snapshots=Snapshots(
            FileStore(data_dir / "snapshots", MOST_AT_ONCE), database, digester, metrics, settings.max_snapshot_bytes
        ),
        artifacts=Artifacts(database, streams, store, make_blobs(data_dir, database, digester, metrics)),
        metrics=metrics,
        gate=gate,
        sessions=Sessions(database, gate),
        samples=Kept(),
    )


async def _serve(
    settings: Settings, data_dir: Path, database: Database, metrics: Metrics, token: str, token_path: Path
) -> None:
    stop, notifier = asyncio.Event(), Notifier()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    listener = _listen(settings.host, settings.port)
    parts = _parts(settings, data_dir, database, metrics, token)
    await _recover(parts)
    await epoch.settle(parts.database, data_dir)
    await parts.dispatch.recover()
    unmerged = await parts.database.read(merge_runs.to_merge)
    await asyncio.to_thread(merge_process.recover, parts.store, data_dir / "merge", unmerged)
    overall = Feed(parts, data_dir / "runs", data_dir / "merge", settings.merge_wait_s)
    applier = Applier(parts.database, parts.streams, parts.store, parts.hub)
    working = _working(parts.dispatch, overall, Retention(parts, settings), applier)
    async with watched(notifier), _background(parts, stop), working, _listening(parts, listener):
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        url = f"http://{host}:{listener.getsockname()[1]}"
        # What was loaded stays: the garbage collector need not look at it again, nor stop the loop for it.
        gc.collect()
        gc.freeze()
        gc.set_threshold(GC_THRESHOLD)
        log.info("ready", url=url, data_dir=str(data_dir))
        print(f"runyard collector ready url={url} data_dir={data_dir} token_file={token_path}", flush=True)
        notifier.tell(READY, status(f"serving {url}"))
        await stop.wait()
        log.info("stopping")
        notifier.tell(STOPPING)
        parts.hub.close()
        parts.meetings.close()
        parts.dispatch.close()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError, OverflowError) as error:
        raise ConfigError(f"collector.host: {host!r} is no address of this machine: {error}") from error
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(1024)
    except (OSError, OverflowError) as error:
        listener.close()
        taken = getattr(error, "errno", None) == errno.EADDRINUSE
        reason = "another process listens there; choose another with --port" if taken else error
        raise ConfigError(f"collector.port: {host} port {port} cannot be used: {reason}") from error
    return listener


async def _recover(parts: Parts) -> None:
    """Ends what a crash has cut off between the steps of opening streams, and in uploads of snapshots and artifacts."""
    for step in await parts.database.read(placement.unplaced):
        try:
            placement.place(parts.store, [step])
        except StoreError as error:  # one stream must not keep the others from being served; opening it tries again
            log.error("a stream cannot be placed", stream=step.id, error=str(error))
        else:
            await parts.database.write(placement.confirm, [step])
            log.info("recovered", stream=step.id)
    try:
        await parts.snapshots.recover()
        await parts.artifacts.blobs.recover()
    except StoreError as error:  # it costs room, and nothing else
        log.error("what is left of uploads cannot be removed", error=str(error))


@asynccontextmanager
async def _background(parts: Parts, stop: asyncio.Event) -> AsyncIterator[None]:
    """The committer and the pulse's flush; at the end everything is durable and written down."""
    committing = asyncio.create_task(parts.committer.run())
    # Should it ever die, nothing would become durable any more: stop, tell why, and let the service start again.
    committing.add_done_callback(lambda _: stop.set())
    flushing = asyncio.create_task(_flush_pulse(parts))
    try:
        yield
    finally:
        flushing.cancel()
        await asyncio.gather(flushing, return_exceptions=True)
        parts.committer.close()
        await committing
        await _flush(parts)
        parts.digester.close()
        parts.store.close()


@asynccontextmanager
async def _working(dispatch: Dispatch, *others: Feed | Retention | Applier) -> AsyncIterator[None]:
    """Runs of the queue are given their nodes, the overall logs are written, records are applied, and old runs removed; at the
    end the process that writes the logs has ended, and what is known of nodes is written down."""
    tasks = [asyncio.create_task(one.run()) for one in (dispatch, *others)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await dispatch.flush()


async def _flush_pulse(parts: Parts) -> None:
    while True:
        await asyncio.sleep(PULSE_FLUSH_S)
        await _flush(parts)


async def _flush(parts: Parts) -> None:
    heard = parts.pulse.take_unflushed()
    try:
        if heard:
            await parts.database.write(catalog.flush_heard, heard)
    except DatabaseError as error:  # the next sign of life is written again
        log.warning("signs of life cannot be written down", error=str(error))


@asynccontextmanager
async def _listening(parts: Parts, listener: socket.socket) -> AsyncIterator[None]:
    runner = web.AppRunner(
        make_app(parts),
        access_log=None,
        shutdown_timeout=GRACE_S,
        read_bufsize=READ_BUFFER_BYTES,
        max_line_size=HEAD_BYTES,
        max_field_size=HEAD_BYTES,
        auto_decompress=False,
    )
    await runner.setup()
    try:
        await web.SockSite(runner, listener).start()
        yield
    finally:
        await runner.cleanup()
