"""Data that a run asked for, brought to the node before it starts: from files, http(s), s3, or whatever else fsspec knows.

Reads from the datastore; writes to a target folder and, next to it, what a later try goes on from (datastore_place.py).
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYetError
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
from fsspec.asyn import get_loop

from runyard.spec import Datastore

from .datastore_place import DIR_MODE, Place, told
from .datastore_pull import FIRST_PAUSE_S, SLOW_DISK_S, Order, Progress, Pull
from .datastore_source import AnySource, Source
from .datastore_trouble import Trouble
from .snapshot_turn import turn

PROGRESS_S = 2.0
# So long is waited for somebody else, who brings the same to the same folder.
TURN_LIMIT_S = 7200.0
# What has not ended so long after a cancel is left to the end of the process.
CANCEL_LIMIT_S = 5.0
HTTP_SCHEMES = ("http://", "https://")
S3_SCHEMES = ("s3://", "s3a://")
S3_DEFAULTS = {"connect_timeout": 10, "read_timeout": 60, "retries": {"max_attempts": 0}}


@dataclass(frozen=True, slots=True)
class Downloaded:
    """What is there now, and what of it was fetched by this call."""

    files: int
    size_bytes: int
    fetched_files: int
    fetched_bytes: int


def download(
    store: Datastore,
    target: Path,
    *,
    say: Callable[[str], None],
    secrets: Mapping[str, str],
    threads: int = 8,
    first_pause_s: float = FIRST_PAUSE_S,
    slow_disk_s: float = SLOW_DISK_S,
) -> Downloaded:
    """Bring all files of the datastore below `target`; `secrets` are the values of its secret options. Blocks.

    Raises PhaseError: for what cannot be reached, read, verified or written. Called again, it goes on where it ended.
    """
    trouble = Trouble(store, secrets.values())
    say(f"Downloading {trouble.store} to {target}.")
    begun_s = time.monotonic()
    place = Place(target)
    with ExitStack() as ending:
        with told("its folder", target):
            place.work.mkdir(mode=DIR_MODE, parents=True, exist_ok=True)
            waiting = turn(place.work / "lock", f"{trouble.store} to be brought to {target}", say=say, limit_s=TURN_LIMIT_S)
            ending.enter_context(waiting).sign()
            ending.callback(place.close)
            place.begin()
        executor = ThreadPoolExecutor(threads, thread_name_prefix="datastore")
        ending.callback(executor.shutdown, wait=False, cancel_futures=True)
        try:
            source = _source(store, secrets, executor, threads)
        except Exception as error:  # noqa: BLE001 - whatever a library says of its options
            raise trouble.of(error, "") from None
        pull = Pull(source, place, trouble, executor, Order(store.checksums, threads, first_pause_s, slow_disk_s, say))
        _wait(pull, source, store.name, say)
        place.clear()
    _say_end(pull.progress, store.name, time.monotonic() - begun_s, say)
    progress = pull.progress
    return Downloaded(progress.files, progress.whole_bytes, progress.fetched_files, progress.fetched_bytes)


def _wait(pull: Pull, source: Source, name: str, say: Callable[[str], None]) -> None:
    ended = threading.Event()
    future = asyncio.run_coroutine_threadsafe(_run(pull, source, ended), get_loop())
    try:
        _watch(future, pull.progress, name, say)
    except BaseException:  # above all a cancel, which is raised in this thread
        future.cancel()
        ended.wait(CANCEL_LIMIT_S)
        raise


async def _run(pull: Pull, source: Source, ended: threading.Event) -> None:
    try:
        await pull.run()
    finally:
        await source.close()
        ended.set()


def _source(store: Datastore, secrets: Mapping[str, str], executor: ThreadPoolExecutor, threads: int) -> Source:
    """The datastore's file system, with connections of its own: another user's key must not be found in a cache."""
    options: dict[str, Any] = {"skip_instance_cache": True, "use_listings_cache": False}
    options |= _with_secrets(store.options, secrets)
    if store.url.startswith(S3_SCHEMES):
        # It is we who try again, and say so; libraries below would do it in silence, for minutes.
        options["config_kwargs"] = {**S3_DEFAULTS, "max_pool_connections": threads, **options.get("config_kwargs", {})}
    fs, root = fsspec.url_to_fs(store.url, **options)
    if store.url.startswith(S3_SCHEMES):
        fs.retries = 1
    if store.url.startswith(HTTP_SCHEMES):
        from .datastore_http import HttpSource  # aiohttp takes a while to load, and is not needed for files

        return HttpSource(fs, store.url, has_listing=not store.checksums)
    return AnySource(fs, root, executor)


def _with_secrets(options: Mapping[str, Any], secrets: Mapping[str, str]) -> dict[str, Any]:
    """The options with the secret ones put in; `headers.Authorization` is one within another."""
    merged = dict(options)
    for name, value in secrets.items():
        inner = merged
        *outer_names, last = name.split(".")
        for outer in outer_names:
            inner[outer] = dict(inner.get(outer, {}))
            inner = inner[outer]
        inner[last] = value
    return merged


def _watch(future: Future[None], progress: Progress, name: str, say: Callable[[str], None]) -> None:
    """Wait for the end and say from time to time how far it is."""
    before_bytes, before_s = 0, time.monotonic()
    while True:
        try:
            return future.result(PROGRESS_S)
        except NotYetError:
            if future.done():
                raise
        now_bytes, now_s = progress.bytes_there(), time.monotonic()
        rate = max(now_bytes - before_bytes, 0) / (now_s - before_s)
        of_bytes = "" if progress.size_bytes is None else f" of {_megabytes(progress.size_bytes)}"
        if progress.files:
            files = f"{progress.done_files} of {progress.files} files"
            say(f"Datastore {name}: {files}, {_megabytes(now_bytes)}{of_bytes}, {_megabytes(rate)}/s.")
        before_bytes, before_s = now_bytes, now_s


def _say_end(progress: Progress, name: str, took_s: float, say: Callable[[str], None]) -> None:
    kept = progress.files - progress.fetched_files
    there = f"; {kept} of them were there already" if kept else ""
    rate = f"{_megabytes(progress.fetched_bytes / max(took_s, 1e-3))}/s"
    fetched = f"; {_megabytes(progress.fetched_bytes)} came in {took_s:.1f} s, {rate}" if progress.fetched_files else ""
    say(f"The datastore {name} is complete: {progress.files} files, {_megabytes(progress.whole_bytes)}{there}{fetched}.")


def _megabytes(size_bytes: float) -> str:
    return f"{size_bytes / 1e6:.1f} MB"
